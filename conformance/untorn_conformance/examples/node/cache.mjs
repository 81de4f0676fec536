// A small cache on disk, in Node and without locks. collect.mjs is its other half.
//
//   ROOT/entries/KEY/           an entry: its frames, and seal.json, which names them all
//   ROOT/staging/NS-PID-DRAWN/  a writer's private work, whose directory its writer holds open
//
// Rule 1: the seal is written last, in staging, and one rename makes all of it visible. rename(2)
//         puts a directory in the place of nothing or of an empty one, and of nothing else.
// Rule 2: nothing is removed by an entry's path. Who removes opens the directory and unlinks below
//         that descriptor, the seal first: what comes into the place meanwhile is another
//         directory, and what has lost its seal never becomes an entry again.
// Rule 3: work is alive while the process that its name tells holds its directory open. Who is in
//         another pid namespace cannot be asked, so such work is left alone.
// Rule 4: without locks there is no lease: who reads what was evicted is told so.
import crypto from "node:crypto";
import fs from "node:fs";
import os from "node:os";

import { DIRECTORY, GONE, SEAL, below, check, empty, look, quietly, unless } from "./disk.mjs";

export const KEY = /^[0-9a-f]{16,128}$/;
export const NAMESPACE = fs.readlinkSync("/proc/self/ns/pid").replace(/\D/g, "");
export let root = "";
const [FRAME, TURNS] = [/^[A-Za-z_-]*(\d{1,15})\.\w+$/, 20];
const IN_THE_WAY = ["ENOTEMPTY", "EEXIST", "ENOTDIR"];

const refusal = (code, message) => Object.assign(new Error(message), { answer: code });
const sha256 = (bytes) => crypto.createHash("sha256").update(bytes).digest("hex");
const touch = (path) => fs.utimesSync(path, new Date(), new Date());
const order = ({ name }) => Number(FRAME.exec(name)[1]);

export function place(key) {
  if (!KEY.test(key)) throw refusal("invalid-key", "a key is 16 to 128 hexadecimal digits");
  return `${root}/entries/${key}`;
}

export function open(path) { root = path ?? `${os.tmpdir()}/example-node-${process.getuid()}`; }

export function lookup(key) { // a hit is its use, and what was checked is what is touched
  return check(place(key), key, (own, { miss }) => miss || quietly(() => touch(own)));
}

export function read({ dir, fd, key }, { name, bytes, sha256: right }) {
  try {
    const content = fs.readFileSync(`${fd ? below(fd) : dir}/${name}`);
    if (sha256(content) === right) return { kind: "frame", sha256: right, bytes };
    return { kind: check(dir, key).miss === "damaged" ? "damaged" : "evicted" };
  } catch (error) {
    const isGone = GONE.includes(error.code);
    return isGone ? { kind: "evicted" } : { kind: "damaged", detail: error.code };
  }
}

export function release({ dir, fd }) { // what is unpublished goes with its handle
  if (!fd) return;
  empty(below(fd));
  quietly(() => fs.rmdirSync(dir));
  quietly(() => fs.closeSync(fd));
}

function written(dir, key, contents) { // work that is staged and sealed
  const work = { key, dir, fd: fs.openSync(dir, DIRECTORY) };
  try {
    for (const { name, content } of contents) fs.writeFileSync(`${dir}/${name}`, content);
    work.files = contents.map(({ name, content }) => (
      { name, bytes: content.length, sha256: sha256(content) }));
    fs.writeFileSync(`${dir}/${SEAL}`, JSON.stringify({ key, files: work.files }));
    return work;
  } catch (error) { release(work); throw error; }
}

export function stage(key, files) {
  place(key);
  if (files.some(({ name }) => !FRAME.test(name))) throw refusal("invalid-key", "no frame's name");
  const contents = files.map(({ name, path }) => ({ name, content: fs.readFileSync(path) }));
  contents.sort((a, b) => order(a) - order(b));
  const isBroken = (each, n) => !each.content.length || order(each) !== order(contents[0]) + n;
  if (!files.length || contents.some(isBroken)) throw refusal("invalid-entry", "not whole frames");
  for (let turn = 0; ; turn++)
    try {
      fs.mkdirSync(`${root}/entries`, { recursive: true, mode: 0o700 });
      const drawn = crypto.randomBytes(8).toString("hex");
      const dir = `${root}/staging/${NAMESPACE}-${process.pid}-${drawn}`;
      fs.mkdirSync(dir, { recursive: true, mode: 0o700 });
      return written(dir, key, contents);
    } catch (error) {
      if (error.code === "ENOENT" && turn < TURNS) continue; // reaped before it was held open
      const dir = fs.mkdtempSync(`${os.tmpdir()}/example-node-uncached-`);
      return { ...written(dir, key, contents), why: { errno: error.code, step: "stage" } };
    }
}

function clear(dir, key) { // the entry that is there; else makes room, unless it cannot tell
  const isRuin = (miss) => miss && miss !== "unreadable";
  const found = check(dir, key, (own, { miss }) => isRuin(miss) && empty(own));
  if (found.miss === "unreadable") throw Object.assign(new Error(found.miss), { code: found.code });
  const stray = found.miss && look(dir);
  if (stray && !stray.isDirectory()) unless(["ENOENT", "EISDIR"], () => fs.unlinkSync(dir));
  return found;
}

export function publish(work) {
  const [dir, keep] = [place(work.key), (why) => ({ kind: "unpublished", what: work, ...why })];
  if (work.why) return keep({ reason: "errno", ...work.why });
  let step = "touch";
  try {
    touch(below(work.fd));
    for (let turn = 0; turn < TURNS; turn++) {
      step = "rename";
      if (unless(IN_THE_WAY, () => fs.renameSync(work.dir, dir))) {
        quietly(() => fs.closeSync(work.fd));
        return { kind: "published", what: { ...work, dir, fd: undefined } };
      }
      step = "make room";
      const winner = clear(dir, work.key);
      if (!winner.miss) return release(work) ?? { kind: "adopted", what: winner };
    }
  } catch (error) { return keep({ reason: "errno", errno: error.code, step }); }
  return keep({ reason: "busy" });
}
