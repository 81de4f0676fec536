"""A small file system of a storm's own: a tmpfs in a mount namespace, without root.

    python -m untorn_stress.storm.enclosure MOUNT_POINT SIZE_BYTES INODES PROGRAM ARGS...

Root makes a mount namespace; another user makes a user namespace first, in which it stays itself,
so that the program that is then executed has no capability and permissions mean something to it.
The mount is seen by that program and what it starts, and ends with the last of them; others see it
through ``/proc/PID/root``.

Sources: unshare(2), user_namespaces(7), mount_namespaces(7), tmpfs(5).
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from typing import Final

_CLONE_NEWNS: Final = 0x00020000
_CLONE_NEWUSER: Final = 0x10000000
_MS_REC: Final = 0x4000
_MS_PRIVATE: Final = 1 << 18
REFUSED: Final = 71
"""The exit code when the kernel allows no such namespace; stderr says what was refused."""

_libc: Final = ctypes.CDLL(None, use_errno=True)


def main(arguments: Sequence[str]) -> int:  # noqa: RET503 (the last call does not return)
    """Mount, and become the program; returns only where that is refused."""
    mount_point, size_bytes, inodes, *program = arguments
    try:
        _separate()
        options = f"size={int(size_bytes)},nr_inodes={int(inodes)},mode=1777"
        _mount("none", "/", None, _MS_REC | _MS_PRIVATE, None)
        _mount("tmpfs", mount_point, "tmpfs", 0, options)
    except OSError as error:
        sys.stderr.write(f"no small file system can be mounted here: {error}\n")
        return REFUSED
    os.execvp(program[0], program)  # noqa: S606 (no shell is wanted)


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
