"""Numbers and structures of the kernel interface that the gate stands on, by machine.

Sources: seccomp(2), seccomp_unotify(2), linux/seccomp.h, linux/audit.h, asm/unistd_64.h and
asm-generic/unistd.h. The aarch64 column was never run: it is kept for whoever tries, and the probe
says so.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# --- seccomp ---------------------------------------------------------------------------------

PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
PR_SET_NO_NEW_PRIVS: Final = 38
SECCOMP_SET_MODE_FILTER: Final = 1
SECCOMP_GET_NOTIF_SIZES: Final = 3
FILTER_FLAG_NEW_LISTENER: Final = 1 << 3
FILTER_FLAG_WAIT_KILLABLE_RECV: Final = 1 << 5
RET_KILL_PROCESS: Final = 0x80000000
RET_ERRNO: Final = 0x00050000
RET_USER_NOTIF: Final = 0x7FC00000
RET_ALLOW: Final = 0x7FFF0000
NOTIF_FLAG_CONTINUE: Final = 1
ADDFD_FLAG_SETFD: Final = 1
ADDFD_FLAG_SEND: Final = 2
NOTIF_FD_SYNC_WAKE_UP: Final = 1

NOTIFICATION: Final = struct.Struct("=QIIiIQ6Q")
"""struct seccomp_notif: id, tid, flags, syscall number, arch, instruction pointer, arguments."""
CALL_OF: Final = struct.Struct("=QI4xi4x8x6Q")
"""Of the same: id, tid, syscall number, arguments."""
RESPONSE: Final = struct.Struct("=QqiI")
"""struct seccomp_notif_resp: id, value, error (negative errno), flags."""
ADDFD: Final = struct.Struct("=QIIII")
"""struct seccomp_notif_addfd: id, flags, source fd, new fd, new fd's flags."""


def _ioctl(direction: int, number: int, size: int) -> int:
    return (direction << 30) | (size << 16) | (ord("!") << 8) | number


NOTIF_RECV: Final = _ioctl(3, 0, NOTIFICATION.size)
NOTIF_SEND: Final = _ioctl(3, 1, RESPONSE.size)
NOTIF_ID_VALID: Final = _ioctl(1, 2, 8)
NOTIF_ADDFD: Final = _ioctl(1, 3, ADDFD.size)
NOTIF_SET_FLAGS: Final = _ioctl(1, 4, 8)

# --- machines --------------------------------------------------------------------------------

X32_BIT: Final = 0x40000000
"""Set in the numbers of the x32 interface, which shares x86-64's audit architecture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """A machine's name as uname says it, its AUDIT_ARCH_* value, and its column in the table."""

    name: str
    audit_arch: int
    column: int
    tested: bool


MACHINES: Final[Mapping[str, Machine]] = {
    "x86_64": Machine(name="x86_64", audit_arch=0xC000003E, column=0, tested=True),
    "aarch64": Machine(name="aarch64", audit_arch=0xC00000B7, column=1, tested=False),
}

_NUMBERS: Final[Mapping[str, tuple[int | None, int | None]]] = {
    # name: (x86-64, aarch64); None where a machine has no such call
    "read": (0, 63), "write": (1, 64), "pread64": (17, 67), "pwrite64": (18, 68),
    "readv": (19, 65), "writev": (20, 66), "preadv": (295, 69), "pwritev": (296, 70),
    "preadv2": (327, 286), "pwritev2": (328, 287), "copy_file_range": (326, 285),
    "sendfile": (40, 71), "splice": (275, 76),
    "open": (2, None), "openat": (257, 56), "openat2": (437, 437), "creat": (85, None),
    "close": (3, 57), "close_range": (436, 436), "dup": (32, 23), "dup2": (33, None),
    "dup3": (292, 24), "fcntl": (72, 25), "flock": (73, 32),
    "stat": (4, None), "lstat": (6, None), "fstat": (5, 80), "newfstatat": (262, 79),
    "statx": (332, 291), "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439),
    "readlink": (89, None), "readlinkat": (267, 78), "getdents": (78, None),
    "getdents64": (217, 61), "statfs": (137, 43), "fstatfs": (138, 44),
    "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276),
    "link": (86, None), "linkat": (265, 37), "symlink": (88, None), "symlinkat": (266, 36),
    "unlink": (87, None), "unlinkat": (263, 35), "rmdir": (84, None),
    "mkdir": (83, None), "mkdirat": (258, 34), "mknod": (133, None), "mknodat": (259, 33),
    "truncate": (76, 45), "ftruncate": (77, 46), "fallocate": (285, 47),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "getxattr": (191, 8), "lgetxattr": (192, 9), "fgetxattr": (193, 10),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "fsync": (74, 82), "fdatasync": (75, 83), "sync": (162, 81), "syncfs": (306, 267),
    "sync_file_range": (277, 84), "mmap": (9, 222),
    "chdir": (80, 49), "fchdir": (81, 50), "chroot": (161, 51), "umask": (95, 166),
    "unshare": (272, 97), "setns": (308, 268), "setuid": (105, 146), "setgid": (106, 144),
    "setreuid": (113, 145), "setresuid": (117, 147), "setresgid": (119, 149),
    "setfsuid": (122, 151), "setfsgid": (123, 152),
    "fork": (57, None), "vfork": (58, None), "clone": (56, 220), "clone3": (435, 435),
    "execve": (59, 221), "execveat": (322, 281), "exit": (60, 93), "exit_group": (231, 94),
    "nanosleep": (35, 101), "clock_nanosleep": (230, 115), "poll": (7, None), "ppoll": (271, 73),
    "select": (23, None), "pselect6": (270, 72), "epoll_wait": (232, None),
    "epoll_pwait": (281, 22), "epoll_pwait2": (441, 441), "futex": (202, 98),
    "getrandom": (318, 278), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427), "seccomp": (317, 277), "pidfd_getfd": (438, 438),
    "restart_syscall": (219, 128), "rt_sigaction": (13, 134),
}  # fmt: skip


def machine() -> Machine | None:
    """This machine, None where the gate has no table for it."""
    return MACHINES.get(platform.machine())


def numbers(of: Machine) -> dict[str, int]:
    """The system call numbers of a machine by name, without those that it does not have."""
    return {
        name: number for name, row in _NUMBERS.items() if (number := row[of.column]) is not None
    }


_HERE: Final = machine() or MACHINES["x86_64"]
NUMBER: Final[Mapping[str, int]] = numbers(_HERE)
NAME: Final[Mapping[int, str]] = {number: name for name, number in NUMBER.items()}

# --- raw calls -------------------------------------------------------------------------------

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
# A pointer's type takes any register's value: a number as it is, bytes by their address.
_libc.syscall.argtypes = [ctypes.c_long, *[ctypes.c_void_p] * 6]
_UNUSED: Final = (0,) * 6


def syscall(number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make a system call; raises OSError with its errno."""
    result: int = _libc.syscall(number, *arguments, *_UNUSED[len(arguments) :])
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def prctl(option: int, value: int) -> None:
    """Set a property of this process or thread; raises OSError."""
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), f"prctl {option}")
