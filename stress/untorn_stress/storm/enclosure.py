"""A small file system of a storm's own: a tmpfs in a mount namespace, without root.

    python -m untorn_stress.storm.enclosure MOUNT_POINT SIZE_BYTES INODES PROGRAM ARGS...

Root makes a mount namespace; another user makes a user namespace first, in which it stays itself,
so that the program that is then executed has no capability and permissions mean something to it.
The mount is seen by that program and what it starts, and ends with the last of them; others see it
through ``/proc/PID/root``. We stay outside, and remove the directory above the mount point when the
program has ended well: in there the mount is in the way.

Sources: unshare(2), user_namespaces(7), mount_namespaces(7), tmpfs(5).
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWUSER: Final = 0x10000000
_MS_REC: Final = 0x4000
_MS_PRIVATE: Final = 1 << 18
_MOST_DESCRIPTORS: Final = 4096
_SIGNALED: Final = 128
REFUSED: Final = 71
"""The exit code when the kernel allows no such namespace; stderr says what was refused."""

_libc: Final = ctypes.CDLL(None, use_errno=True)


def main(arguments: Sequence[str]) -> int:
    """Run the program in there, and wait for it; its exit code."""
    mount_point, size_bytes, inodes, *program = arguments
    child = os.fork()
    if child == 0:
        _become(mount_point, f"size={int(size_bytes)},nr_inodes={int(inodes)},mode=1777", program)
    os.closerange(3, _MOST_DESCRIPTORS)  # the driver's socket is the program's, not ours
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 0:
        shutil.rmtree(os.path.dirname(mount_point), ignore_errors=True)  # others do so, too
    return code if code >= 0 else _SIGNALED - code


def _become(mount_point: str, options: str, program: Sequence[str]) -> NoReturn:
    """Mount, and become the program."""
    try:
        _separate()
        _mount("none", "/", None, _MS_REC | _MS_PRIVATE, None)
        _mount("tmpfs", mount_point, "tmpfs", 0, options)
        os.execvp(program[0], list(program))  # noqa: S606 (no shell is wanted)
    except OSError as error:
        sys.stderr.write(f"no small file system can be mounted here: {error}\n")
        sys.stderr.flush()
    os._exit(REFUSED)


def _separate() -> None:
    """Get a mount namespace, in a user namespace where we may have none without it."""
    if _libc.unshare(_CLONE_NEWNS) == 0:
        return
    uid, gid = os.getuid(), os.getgid()
    _check(_libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS), "unshare")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None) -> None:
    said = [None if each is None else os.fsencode(each) for each in (source, target, kind, options)]
    result = _libc.mount(said[0], said[1], said[2], ctypes.c_ulong(flags), said[3])
    _check(result, f"mount on {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
