// The other half of the cache in cache.mjs: evicts what is over the budget, and reaps dead work.
//
// Rule 1: an entry is evicted by whoever unlinks its seal, and counted by nobody else; each byte is
//         counted by whoever unlinks it.
// Rule 2: an entry that was used since the listing stays.
// Rule 3: a directory without a seal in an entry's place is a ruin, and goes first.
import fs from "node:fs";

import { KEY, NAMESPACE, place, root } from "./cache.mjs";
import { GONE, SEAL, empty, list, look, opened, quietly, sizeOf, unless } from "./disk.mjs";

export const GRACE_S = 10;
const [BUDGET_BYTES, MIN_AGE_S, STAGING] = [2 ** 31, 3600, /^(\d+)-(\d+)-[0-9a-f]{16}$/];
const isOurs = (there) => there?.isDirectory() && Number(there.uid) === process.getuid();
const ms = (ns) => Number(ns / 1000000n);

function survey(now) { // our entries and ruins, least recently used first, then by key
  const found = list(`${root}/entries`).filter((key) => KEY.test(key)).flatMap((key) => {
    const [dir, there] = [place(key), look(place(key))];
    if (!isOurs(there)) return [];
    const names = list(dir);
    const bytes = names.reduce((sum, name) => sum + sizeOf(`${dir}/${name}`), 0);
    const used = Math.min(now, ms(there.mtimeNs)); // what is dated tomorrow was used now
    return [{ key, dir, bytes, used, mtime: there.mtimeNs, sealed: names.includes(SEAL) }];
  });
  return found.sort((a, b) => a.used - b.used || (a.key < b.key ? -1 : 1));
}

function evict({ dir, mtime }) { // what it removed, or what protects the entry
  const gone = { won: false, bytes: 0 };
  const isUsed = (own) => look(own).mtimeNs !== mtime && look(`${own}/${SEAL}`);
  const act = (own) => isUsed(own) ? { ...gone, failed: "used" } : empty(own);
  try {
    const done = opened(dir, act) ?? gone;
    quietly(() => done.failed || fs.rmdirSync(dir));
    return done;
  } catch (error) { return { ...gone, failed: error.code }; }
}

function isAlive(dir, pid) { // whether the process has this very directory open
  const work = look(dir);
  return list(`/proc/${pid}/fd`).some((fd) => {
    const open = unless(GONE, () => fs.statSync(`/proc/${pid}/fd/${fd}`, { bigint: true }));
    return open && open.ino === work?.ino && open.dev === work?.dev;
  });
}

function reap(now, isDry) { // how many works of dead writers went
  const dirs = list(`${root}/staging`).flatMap((name) => {
    const [, namespace, pid] = STAGING.exec(name) ?? [];
    const [dir, there] = [`${root}/staging/${name}`, look(`${root}/staging/${name}`)];
    const isOld = isOurs(there) && now - ms(there.mtimeNs) >= GRACE_S * 1000;
    return isOld && namespace === NAMESPACE && !isAlive(dir, pid) ? [dir] : [];
  });
  return dirs.filter((dir) => {
    if (!isDry) quietly(() => opened(dir, empty));
    return isDry || quietly(() => fs.rmdirSync(dir));
  }).length;
}

export function collect(budget_bytes, min_age_s, isDry) {
  const [now, budget, shield] = [Date.now(), budget_bytes ?? BUDGET_BYTES, {}];
  const done = { kind: "collected", evicted: 0, freed_bytes: 0, reaped: 0 };
  let entries = [];
  try {
    done.reaped = reap(now, isDry);
    entries = survey(now);
  } catch (error) { return { kind: "skipped", reason: error.code }; }
  let total = entries.reduce((sum, { bytes }) => sum + bytes, 0);
  for (const each of entries.sort((a, b) => a.sealed - b.sealed)) {
    if (each.sealed && total <= budget) break;
    const isYoung = each.sealed && now - each.used < (min_age_s ?? MIN_AGE_S) * 1000;
    const kept = { won: false, bytes: 0, failed: "young" };
    const gone = isYoung ? kept : isDry ? { won: each.sealed, bytes: each.bytes } : evict(each);
    if (gone.failed) shield[gone.failed] = (shield[gone.failed] ?? 0) + 1;
    else total -= each.bytes;
    done.evicted += Number(gone.won);
    done.freed_bytes += gone.bytes;
  }
  const over = Math.max(0, total - budget);
  return { ...done, over_budget_bytes: over, protected: over ? shield : {} };
}
