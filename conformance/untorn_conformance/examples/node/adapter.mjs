// The adapter of the small cache in cache.mjs: untorn verify --backend 'cmd:node adapter.mjs'
//
// One JSON object a line, in both directions, as PROTOCOL.md says. Requests are read with blocking
// calls, so an answer is written before the next request is looked at, and the process ends at the
// end of its input.
import fs from "node:fs";

import * as cache from "./cache.mjs";
import { collect, GRACE_S } from "./collect.mjs";

const handles = new Map();
let last = 0;

const refusal = (code, message) => Object.assign(new Error(message), { answer: code });

function hold(kind, what, more = {}) {
  handles.set(`h${++last}`, what);
  return { kind, handle: `h${last}`, files: what.files.map(({ name }) => name), ...more };
}

function held(handle) {
  if (!handles.has(handle)) throw refusal("bad-request", `there is no handle ${handle}`);
  return handles.get(handle);
}

const verbs = {
  hello: () => ({
    kind: "hello",
    name: "example-node",
    version: "1.0.0",
    language: "JavaScript",
    protocol: 1,
    capabilities: [], // it has no lease, no key of its own, no settings, no counters
    limits: { reap_grace_s: GRACE_S, recency_resolution_s: 0.01, flight_wait_s: 0 },
  }),
  open: ({ root }) => cache.open(root),
  lookup({ key }) {
    const found = cache.lookup(key);
    return found.miss
      ? { kind: "miss", reason: found.miss, detail: found.code ?? "" }
      : hold("hit", found);
  },
  read({ handle, index }) {
    const what = held(handle);
    if (!what.files[index]) throw refusal("bad-request", `${handle} has no file ${index}`);
    return cache.read(what, what.files[index]);
  },
  release({ handle }) {
    cache.release(held(handle));
    handles.delete(handle);
  },
  abandon: (args) => verbs.release(args),
  stage({ key, files }) {
    const { kind, handle } = hold("staged", cache.stage(key, files));
    return { kind, handle };
  },
  publish({ handle }) {
    const { kind, what, ...why } = cache.publish(held(handle));
    handles.delete(handle);
    return hold(kind, what, why);
  },
  collect: ({ budget_bytes, min_age_s, dry_run }) => collect(budget_bytes, min_age_s, dry_run),
  stats: () => ({ kind: "stats", counters: {} }),
  close() {
    for (const handle of [...handles.keys()]) verbs.release({ handle });
  },
};

function answer(line) {
  const { id, verb, args } = JSON.parse(line);
  try {
    if (!Object.hasOwn(verbs, verb)) throw refusal("unsupported", `there is no verb ${verb}`);
    return { id, ok: verbs[verb](args) ?? { kind: "done" } };
  } catch (error) {
    if (!error.answer) console.error(error); // to stderr: stdout is the protocol's alone
    return { id, error: { code: error.answer ?? "internal", message: error.message } };
  }
}

const chunk = Buffer.alloc(1 << 16);
for (let rest = "", size; (size = fs.readSync(0, chunk)) > 0; ) {
  const lines = (rest + chunk.toString("latin1", 0, size)).split("\n"); // lines are ASCII
  rest = lines.pop();
  for (const line of lines) fs.writeFileSync(1, JSON.stringify(answer(line)) + "\n");
}
