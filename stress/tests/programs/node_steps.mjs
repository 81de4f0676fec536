// A Node script that works on one directory, at once and by promises: node node_steps.mjs DIRECTORY
//
// What it is for: a runtime with threads of its own. Calls of the first kind are made by the main
// thread, those of the second by whichever thread of libuv's pool takes them, one at a time.
//
// Leaves `sync-done` and `async-done` in the directory, which must be there and empty; exits with 0.

import fs from "node:fs";
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";

const below = (...names) => path.join(process.argv[2], ...names);

function expect(names, ...wanted) {
  if (names.join() !== wanted.join()) throw new Error(`found ${names}, not ${wanted}`);
}

fs.mkdirSync(below("sync-work"));
fs.writeFileSync(below("sync-work", "frame_1"), "one");
fs.writeFileSync(below("sync-work", "frame_2"), "two");
fs.renameSync(below("sync-work"), below("sync-entry"));
expect(fs.readdirSync(below("sync-entry")), "frame_1", "frame_2");
fs.rmSync(below("sync-entry"), { recursive: true });
fs.writeFileSync(below("sync-done"), "");

await mkdir(below("async-work"));
await writeFile(below("async-work", "frame_1"), "one");
await writeFile(below("async-work", "frame_2"), "two");
await rename(below("async-work"), below("async-entry"));
expect(await readdir(below("async-entry")), "frame_1", "frame_2");
await rm(below("async-entry"), { recursive: true });
await writeFile(below("async-done"), "");
