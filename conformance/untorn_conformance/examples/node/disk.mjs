// What the cache does to directories: looks at one, and empties one, through its own descriptor.
//
// A path may lead to another directory at each call. What is opened once stays what it is, whatever
// comes into its place; /proc/self/fd stands for the openat(2) that Node does not have.
import fs from "node:fs";

export const SEAL = "seal.json";
export const GONE = ["ENOENT", "ENOTDIR"];
export const DIRECTORY = fs.constants.O_DIRECTORY | fs.constants.O_NOFOLLOW;

export const below = (fd) => `/proc/self/fd/${fd}/.`;
export const look = (path) => fs.lstatSync(path, { bigint: true, throwIfNoEntry: false });
export const sizeOf = (path) => Number(look(path)?.size ?? 0);
export const list = (path) => unless(GONE, () => fs.readdirSync(path)) ?? [];

export function unless(codes, act) { // undefined where it fails with one of these codes
  try { return act() ?? true; } catch (error) { if (!codes.includes(error.code)) throw error; }
}

export function quietly(act) { // whether it went well
  try { act(); return true; } catch { return false; }
}

export function opened(dir, act) { // undefined where there is no directory
  const fd = unless(GONE, () => fs.openSync(dir, DIRECTORY));
  try { return fd && act(below(fd)); } finally { quietly(() => fd && fs.closeSync(fd)); }
}

function inspect(own, key) { // the seal of a whole entry, or why there is none
  try {
    const seal = JSON.parse(fs.readFileSync(`${own}/${SEAL}`, "utf8"));
    const sealed = look(`${own}/${SEAL}`);
    const isWhole = ({ name, bytes }) => { // a frame that is younger than its seal was changed
      const file = look(`${own}/${name}`);
      return file?.isFile() && file.size === BigInt(bytes) && file.mtimeNs <= sealed?.mtimeNs;
    };
    return seal.key === key && seal.files.every(isWhole) ? seal : { miss: "damaged" };
  } catch (error) {
    const reasons = { ENOENT: "incomplete", undefined: "corrupt" };
    return { miss: reasons[error.code] ?? "unreadable", code: error.code };
  }
}

export function check(dir, key, act = () => {}) { // the same; acts on what it has looked at
  try {
    const found = opened(dir, (own) => {
      const seal = inspect(own, key);
      act(own, seal);
      return { ...seal, dir };
    });
    return found ?? { miss: look(dir) ? "damaged" : "absent" };
  } catch (error) { return { miss: "unreadable", code: error.code }; }
}

export function empty(own) { // what it removed itself: the seal, which only one can, and bytes
  const done = { won: false, bytes: 0 };
  const take = (name) => {
    const bytes = sizeOf(`${own}/${name}`);
    const isTaken = unless(["ENOENT"], () => fs.unlinkSync(`${own}/${name}`)) ?? false;
    done.bytes += isTaken ? bytes : 0;
    return isTaken;
  };
  try {
    done.won = take(SEAL);
    for (const name of list(own))
      if (look(`${own}/${name}`)?.isDirectory()) fs.rmSync(`${own}/${name}`, { recursive: true });
      else take(name);
  } catch (error) { done.failed = error.code; } // what is left is a ruin, or still an entry
  return done;
}
