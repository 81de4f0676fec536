"""Held calls in one form: which kind of step a call is, and what its arguments name.

Old calls are read as their ``*at`` twins (``mkdir(p)`` is ``mkdirat(AT_FDCWD, p)``), so that there
is one way to resolve a path and one way to perform a call. The table says of each call how its
arguments become those of the twin:

    dN  directory descriptor N      cw  the current directory     pN  path N
    tN  text N (a link's target)    fN  descriptor N              iN  integer N
    bN:S  N points to S bytes       =V  the constant V

A call without a twin in the table is never performed by us: the kernel does it.

Sources: the manual pages of the calls; open_by_handle_at(2) and mounts are outside of the gate.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, NamedTuple

from untorn_stress.gate import abi, statx
from untorn_stress.gate.listener import Notification
from untorn_stress.gate.target import AT_FDCWD, Target

AT_SYMLINK_NOFOLLOW: Final = 0x100
AT_REMOVEDIR: Final = 0x200
AT_SYMLINK_FOLLOW: Final = 0x400
AT_EMPTY_PATH: Final = 0x1000
O_TMPFILE: Final = 0o20000000
_OPEN_HOW: Final = struct.Struct("=QQQ")


class CallKind(Enum):
    """What a call does, as far as the gate must know."""

    __hash__ = object.__hash__  # Enum's own is a Python function, and asked at each call

    OPEN = auto()
    STAT = auto()
    LIST = auto()
    CREATE = auto()
    LINK = auto()
    RENAME = auto()
    UNLINK = auto()
    ATTRIBUTE = auto()
    SYNC = auto()
    FLOCK = auto()
    FCNTL = auto()
    READ = auto()
    WRITE = auto()
    CLOSE = auto()
    DUP = auto()
    EXEC = auto()
    EXIT = auto()
    FORK = auto()
    WAIT = auto()
    RANDOM = auto()
    HANDLER = auto()
    IDENTITY = auto()
    MAP = auto()


@dataclass(frozen=True, slots=True)
class Form:
    """How a call is read: its kind, its twin (empty: never ours to perform), its arguments."""

    kind: CallKind
    twin: str
    layout: tuple[str, ...]


def _form(kind: CallKind, twin: str, layout: str) -> Form:
    return Form(kind, twin, tuple(layout.split()))


_K: Final = CallKind
FORMS: Final[Mapping[str, Form]] = {
    "open": _form(_K.OPEN, "openat", "cw p0 i1 i2"),
    "openat": _form(_K.OPEN, "openat", "d0 p1 i2 i3"),
    "openat2": _form(_K.OPEN, "openat2", "d0 p1 b2:24 i3"),
    "creat": _form(_K.OPEN, "openat", "cw p0 =577 i1"),  # O_WRONLY|O_CREAT|O_TRUNC
    "mkdir": _form(_K.CREATE, "mkdirat", "cw p0 i1"),
    "mkdirat": _form(_K.CREATE, "mkdirat", "d0 p1 i2"),
    "mknod": _form(_K.CREATE, "mknodat", "cw p0 i1 i2"),
    "mknodat": _form(_K.CREATE, "mknodat", "d0 p1 i2 i3"),
    "symlink": _form(_K.CREATE, "symlinkat", "t0 cw p1"),
    "symlinkat": _form(_K.CREATE, "symlinkat", "t0 d1 p2"),
    "link": _form(_K.LINK, "linkat", "cw p0 cw p1 =0"),
    "linkat": _form(_K.LINK, "linkat", "d0 p1 d2 p3 i4"),
    "rename": _form(_K.RENAME, "renameat2", "cw p0 cw p1 =0"),
    "renameat": _form(_K.RENAME, "renameat2", "d0 p1 d2 p3 =0"),
    "renameat2": _form(_K.RENAME, "renameat2", "d0 p1 d2 p3 i4"),
    "unlink": _form(_K.UNLINK, "unlinkat", "cw p0 =0"),
    "rmdir": _form(_K.UNLINK, "unlinkat", "cw p0 =512"),  # AT_REMOVEDIR
    "unlinkat": _form(_K.UNLINK, "unlinkat", "d0 p1 i2"),
    "chmod": _form(_K.ATTRIBUTE, "fchmodat", "cw p0 i1"),
    "fchmodat": _form(_K.ATTRIBUTE, "fchmodat", "d0 p1 i2"),
    "fchmodat2": _form(_K.ATTRIBUTE, "fchmodat2", "d0 p1 i2 i3"),
    "fchmod": _form(_K.ATTRIBUTE, "fchmod", "f0 i1"),
    "chown": _form(_K.ATTRIBUTE, "fchownat", "cw p0 i1 i2 =0"),
    "lchown": _form(_K.ATTRIBUTE, "fchownat", "cw p0 i1 i2 =256"),  # AT_SYMLINK_NOFOLLOW
    "fchownat": _form(_K.ATTRIBUTE, "fchownat", "d0 p1 i2 i3 i4"),
    "fchown": _form(_K.ATTRIBUTE, "fchown", "f0 i1 i2"),
    "utimensat": _form(_K.ATTRIBUTE, "utimensat", "d0 p1 b2:32 i3"),
    "utime": _form(_K.ATTRIBUTE, "", "cw p0"),
    "utimes": _form(_K.ATTRIBUTE, "", "cw p0"),
    "futimesat": _form(_K.ATTRIBUTE, "", "d0 p1"),
    "truncate": _form(_K.ATTRIBUTE, "", "cw p0"),
    "ftruncate": _form(_K.ATTRIBUTE, "ftruncate", "f0 i1"),
    "fallocate": _form(_K.ATTRIBUTE, "fallocate", "f0 i1 i2 i3"),
    "setxattr": _form(_K.ATTRIBUTE, "", "cw p0"),
    "lsetxattr": _form(_K.ATTRIBUTE, "", "cw p0"),
    "fsetxattr": _form(_K.ATTRIBUTE, "", "f0"),
    "removexattr": _form(_K.ATTRIBUTE, "", "cw p0"),
    "lremovexattr": _form(_K.ATTRIBUTE, "", "cw p0"),
    "fremovexattr": _form(_K.ATTRIBUTE, "", "f0"),
    "stat": _form(_K.STAT, "", "cw p0"),
    "lstat": _form(_K.STAT, "", "cw p0"),
    "fstat": _form(_K.STAT, "", "f0"),
    "newfstatat": _form(_K.STAT, "", "d0 p1"),
    "statx": _form(_K.STAT, "statx", "d0 p1 i2 i3"),
    "access": _form(_K.STAT, "", "cw p0"),
    "faccessat": _form(_K.STAT, "", "d0 p1"),
    "faccessat2": _form(_K.STAT, "", "d0 p1"),
    "readlink": _form(_K.STAT, "", "cw p0"),
    "readlinkat": _form(_K.STAT, "", "d0 p1"),
    "getxattr": _form(_K.STAT, "", "cw p0"),
    "lgetxattr": _form(_K.STAT, "", "cw p0"),
    "fgetxattr": _form(_K.STAT, "", "f0"),
    "statfs": _form(_K.STAT, "", "cw p0"),
    "chdir": _form(_K.STAT, "", "cw p0"),
    "fstatfs": _form(_K.STAT, "", "f0"),
    "getdents": _form(_K.LIST, "", "f0"),
    "getdents64": _form(_K.LIST, "", "f0"),
    "fsync": _form(_K.SYNC, "fsync", "f0"),
    "fdatasync": _form(_K.SYNC, "fdatasync", "f0"),
    "syncfs": _form(_K.SYNC, "syncfs", "f0"),
    "sync_file_range": _form(_K.SYNC, "sync_file_range", "f0 i1 i2 i3"),
    "sync": _form(_K.SYNC, "", ""),
    "flock": _form(_K.FLOCK, "flock", "f0 i1"),
    "fcntl": _form(_K.FCNTL, "", "f0 i1"),
    "close": _form(_K.CLOSE, "", "f0"),
    "close_range": _form(_K.CLOSE, "", ""),
    "dup": _form(_K.DUP, "", "f0"),
    "dup2": _form(_K.DUP, "", "f0 f1"),
    "dup3": _form(_K.DUP, "", "f0 f1"),
    "mmap": _form(_K.MAP, "", "f4"),
    **{
        name: _form(_K.READ, "", "f0")
        for name in ("read", "pread64", "readv", "preadv", "preadv2")
    },
    **{
        name: _form(_K.WRITE, "", "f0")
        for name in ("write", "pwrite64", "writev", "pwritev", "pwritev2")
    },
    "copy_file_range": _form(_K.WRITE, "", "f2 f0"),
    "sendfile": _form(_K.WRITE, "", "f0 f1"),
    "splice": _form(_K.WRITE, "", "f2 f0"),
    **{name: _form(_K.EXEC, "", "") for name in ("execve", "execveat")},
    **{name: _form(_K.EXIT, "", "") for name in ("exit", "exit_group")},
    **{name: _form(_K.FORK, "", "") for name in ("fork", "vfork", "clone", "clone3")},
    **{
        name: _form(_K.WAIT, "", "")
        for name in (
            "nanosleep", "clock_nanosleep", "poll", "ppoll", "select", "pselect6", "epoll_wait",
            "epoll_pwait", "epoll_pwait2", "futex",
        )
    },
    "rt_sigaction": _form(_K.HANDLER, "", ""),
    "getrandom": _form(_K.RANDOM, "", "i1"),
    **{
        name: _form(_K.IDENTITY, "", "")
        for name in (
            "fchdir", "chroot", "umask", "unshare", "setns", "setuid", "setgid",
            "setreuid", "setresuid", "setresgid", "setfsuid", "setfsgid",
        )
    },
}  # fmt: skip

_PATH_OR_NULL: Final = frozenset({"utimensat", "futimesat"})
_NULL_IF_EMPTY: Final = frozenset({"newfstatat", "statx"})
"""With AT_EMPTY_PATH a null pointer is an empty path, from Linux 6.11 on."""

_NO_FOLLOW: Final = frozenset(
    {
        "lstat", "readlink", "readlinkat", "lchown", "lsetxattr", "lgetxattr", "lremovexattr",
        "linkat", "link", "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir",
        "mkdir", "mkdirat", "mknod", "mknodat", "symlink", "symlinkat",
    }
)  # fmt: skip
_FLAGS_AT: Final[Mapping[str, int]] = {
    "newfstatat": 3, "statx": 2, "utimensat": 3, "fchownat": 4, "fchmodat2": 3, "faccessat2": 3,
    "unlinkat": 2, "linkat": 4, "renameat2": 4,
}  # fmt: skip


class PathArgument(NamedTuple):
    """A path as the call has it, and what it is relative to; ``follow``: its last link counts."""

    dirfd: int
    path: bytes
    follow: bool


@dataclass(slots=True)
class Call:
    """A held call, read from its thread's registers and memory.

    ``texts`` are what its layout's ``pN`` point to, None for no pointer: all is read once.
    """

    name: str
    form: Form
    arguments: tuple[int, ...]
    paths: list[PathArgument] = field(default_factory=list)
    fds: list[int] = field(default_factory=list)
    flags: int = 0
    mode: int = 0
    asks_little: bool = False
    """A statx of what neither data nor entries change, which is told no more by us."""
    texts: list[bytes | None] = field(default_factory=list)
    kind: CallKind = field(init=False)

    def __post_init__(self) -> None:
        self.kind = self.form.kind

    @property
    def creates(self) -> bool:
        """Whether an open may make a file."""
        return bool(self.flags & os.O_CREAT) or (self.flags & O_TMPFILE) == O_TMPFILE

    @property
    def writes(self) -> bool:
        """Whether an open gives a descriptor that can write."""
        return (self.flags & os.O_ACCMODE) != os.O_RDONLY


def signed(value: int) -> int:
    """A register as a C int."""
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value & 0x80000000 else value


class _Reading(NamedTuple):
    """How the calls of one number are read; ``items`` are what their layout has to be read."""

    name: str
    form: Form
    flags_at: int | None
    items: tuple[tuple[str, int], ...]


def _reading(name: str) -> _Reading:
    items = [
        ("d", -1) if item == "cw" else (item[0], int(item[1]))
        for item in FORMS[name].layout
        if item == "cw" or item[0] in "dpf"
    ]
    return _Reading(name, FORMS[name], _FLAGS_AT.get(name), tuple(items))


_READINGS: Final = {abi.NUMBER[name]: _reading(name) for name in FORMS if name in abi.NUMBER}


def read_call(notification: Notification, target: Target) -> Call:
    """Read a held call. Raises OSError where its pointers lead nowhere: the kernel answers that."""
    name, form, flags_at, items = _READINGS[notification.number]
    arguments = notification.arguments
    call = Call(name, form, arguments)
    if form.kind is CallKind.OPEN:
        _read_open(call, target)
    elif flags_at is not None:
        call.flags = arguments[flags_at] & 0xFFFFFFFF
    if name == "statx":
        call.asks_little = statx.asks_little(arguments[3]) and target.is_like_us
    dirfd = 0
    for what, at in items:
        if what == "f":
            call.fds.append(signed(arguments[at]))
        elif what == "p":
            _read_path(call, target, dirfd, arguments[at])
        else:
            dirfd = AT_FDCWD if at < 0 else signed(arguments[at])
    return call


def _may_be_null(call: Call) -> bool:
    is_empty = call.name in _NULL_IF_EMPTY and bool(call.flags & AT_EMPTY_PATH)
    return is_empty or call.name in _PATH_OR_NULL


def _read_path(call: Call, target: Target, dirfd: int, address: int) -> None:
    if not address and not _may_be_null(call):
        raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
    path = target.path(address)
    call.texts.append(path if address else None)
    if not path and (not address or call.flags & AT_EMPTY_PATH):
        call.fds.append(dirfd)  # utimensat(fd, NULL), newfstatat(fd, "", AT_EMPTY_PATH)
        return
    if call.kind is CallKind.OPEN:
        exclusive = os.O_CREAT | os.O_EXCL
        follow = not call.flags & os.O_NOFOLLOW and call.flags & exclusive != exclusive
    elif call.name == "linkat":
        follow = bool(call.flags & AT_SYMLINK_FOLLOW) and not call.paths
    else:
        follow = call.name not in _NO_FOLLOW and not call.flags & AT_SYMLINK_NOFOLLOW
    call.paths.append(PathArgument(dirfd, path, follow))


def _read_open(call: Call, target: Target) -> None:
    arguments = call.arguments
    if call.name == "openat2":
        call.flags, call.mode, _ = _OPEN_HOW.unpack(target.read(arguments[2], _OPEN_HOW.size))
    elif call.name == "creat":
        call.flags, call.mode = os.O_CREAT | os.O_WRONLY | os.O_TRUNC, arguments[1]
    else:
        at = 1 if call.name == "open" else 2
        call.flags, call.mode = arguments[at] & 0xFFFFFFFF, arguments[at + 1] & 0xFFFF
