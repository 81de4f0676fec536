"""Locks, taken for the target on its own open file description.

Rule 1: flock and open-file-description locks are tried through a duplicate of the target's
        descriptor, without waiting, and the duplicate is closed at once: the lock stays its own.
Rule 2: the attempt is the step. A refused conversion from shared to exclusive has dropped the
        shared lock already, so nothing is ever probed.
Rule 3: POSIX record locks belong to the process that asks: the kernel takes them.
Rule 4: locks may be lied about (N1): they always succeed, or always fail with one errno.
Rule 5: only who has a lock on that open file description can give one up.

Sources: flock(2), fcntl(2), pidfd_getfd(2); gate_rules T12.
"""

from __future__ import annotations

import errno
import fcntl
import os
from dataclasses import dataclass
from typing import Final

from untorn_stress.gate.calls import Call, CallKind, signed
from untorn_stress.gate.target import Target

F_SETLK: Final = 6
F_SETLKW: Final = 7
F_OFD_GETLK: Final = 36
F_OFD_SETLK: Final = 37
F_OFD_SETLKW: Final = 38
F_GETLK: Final = 5
_FLOCK_BYTES: Final = 32
_SETS: Final = frozenset({F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW})
LOCK_COMMANDS: Final = _SETS | {F_GETLK, F_OFD_GETLK}


@dataclass(frozen=True, slots=True)
class Attempt:
    """How an attempt ended: taken, or an errno; ``waits`` when the target would wait for it."""

    error: int = 0
    waits: bool = False


def is_ours(call: Call) -> bool:
    """Whether the attempt is made by us; the others are the kernel's."""
    return call.kind is CallKind.FLOCK or command_of(call) in (F_OFD_SETLK, F_OFD_SETLKW)


def command_of(call: Call) -> int:
    """The command of an fcntl, 0 for other calls."""
    return call.arguments[1] & 0xFFFFFFFF if call.kind is CallKind.FCNTL else 0


def operation_of(call: Call, target: Target) -> int:
    """What is asked, in flock's words: LOCK_SH, LOCK_EX or LOCK_UN."""
    if call.kind is CallKind.FLOCK:
        return call.arguments[1] & (fcntl.LOCK_SH | fcntl.LOCK_EX | fcntl.LOCK_UN)
    kind = int.from_bytes(target.read(call.arguments[2], 2), "little", signed=True)
    return {fcntl.F_RDLCK: fcntl.LOCK_SH, fcntl.F_WRLCK: fcntl.LOCK_EX}.get(kind, fcntl.LOCK_UN)


def attempt(call: Call, target: Target, lie: str) -> Attempt:
    """Try to take (or let go of) a lock for the target; ``lie`` is "real", "noop" or an errno."""
    if lie == "noop":
        return Attempt()
    if lie != "real":
        return Attempt(getattr(errno, lie))
    try:
        fd = target.duplicate(signed(call.arguments[0]))
        try:
            return _flock(fd, call) if call.kind is CallKind.FLOCK else _record(fd, call, target)
        finally:
            os.close(fd)
    except OSError as error:
        return Attempt(error.errno or errno.EBADF)


def _flock(fd: int, call: Call) -> Attempt:
    operation = call.arguments[1] & 0xFF
    try:
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
    except OSError as error:
        waits = error.errno == errno.EWOULDBLOCK and not operation & fcntl.LOCK_NB
        return Attempt(error.errno or errno.EIO, waits)
    return Attempt()


def _record(fd: int, call: Call, target: Target) -> Attempt:
    request = target.read(call.arguments[2], _FLOCK_BYTES)
    try:
        fcntl.fcntl(fd, F_OFD_SETLK, request)
    except OSError as error:
        refused = error.errno in (errno.EAGAIN, errno.EACCES)
        return Attempt(error.errno or errno.EIO, refused and command_of(call) == F_OFD_SETLKW)
    return Attempt()


def gives_up(call: Call, target: Target) -> bool:
    """Whether an attempt may give up a lock that the open file description has now."""
    return held_by(target.pid, signed(call.arguments[0]))


def drops_if_refused(call: Call) -> bool:
    """Whether a refused conversion has given the old lock up: only flock(2) drops it first."""
    return call.kind is CallKind.FLOCK


def held_by(pid: int, fd: int) -> bool:
    """Whether the open file description carries a lock, as /proc tells (proc_pid_fdinfo(5))."""
    try:
        with open(f"/proc/{pid}/fdinfo/{fd}", "rb") as info:
            return b"\nlock:" in info.read()
    except OSError:
        return False


def open_descriptors(pid: int) -> list[int]:
    """The descriptor numbers that a process has, in order."""
    try:
        return sorted(int(name) for name in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return []
