"""Which errnos a held call can return for want of something: the sites of fault injection.

What is asked for wrongly (EBADF, EINVAL, ENOENT of a wrong name) is no fault and is not here. The
lists are those of the manual pages, section ERRORS, as far as the contract's D2 and N2 name the
errno, with what Linux file systems answer besides:

    EIO     any call that may read or write a block; POSIX.1-2017, XSH 2.3, lets every function fail
            with more errnos than it lists, and ext4 and xfs answer it once a device has failed
    ESTALE  any call on a file or a name of a network file system: nfs(5), RFC 1813 (NFS3ERR_STALE)
    EDQUOT  where ENOSPC is: quotas are counted where blocks and inodes are allocated

EINTR is answered only where the manual page says that a signal may interrupt: not by a lock that
does not wait. No kernel interrupts for ever, so it is never sticky (gate_rules T15).
"""

from __future__ import annotations

import fcntl
from collections.abc import Mapping
from typing import Final

from untorn_stress.gate import locks
from untorn_stress.gate.calls import Call, CallKind

TABLE: Final[Mapping[str, str]] = {
    # open(2); what allocates or writes adds to it below
    "openat": "EACCES EINTR EIO EMFILE ENFILE ENOMEM EPERM ESTALE",
    "openat2": "EACCES EINTR EIO EMFILE ENFILE ENOMEM EPERM ESTALE",
    # mkdir(2), mknod(2), symlink(2)
    "mkdirat": "EACCES EDQUOT EIO ENOMEM ENOSPC EPERM EROFS ESTALE",
    "mknodat": "EACCES EDQUOT EIO ENOMEM ENOSPC EPERM EROFS ESTALE",
    "symlinkat": "EACCES EDQUOT EIO ENOMEM ENOSPC EPERM EROFS ESTALE",
    # link(2), rename(2): EPERM of a sticky directory, or where a file system has no such call
    "linkat": "EACCES EDQUOT EIO ENOMEM ENOSPC EPERM EROFS ESTALE EXDEV",
    "renameat2": "EACCES EDQUOT EEXIST EIO ENOMEM ENOSPC ENOTEMPTY EPERM EROFS ESTALE EXDEV",
    # unlink(2), rmdir(2)
    "unlinkat": "EACCES EIO ENOMEM EPERM EROFS ESTALE",
    # chmod(2), chown(2), utimensat(2)
    "fchmodat": "EACCES EIO ENOMEM EPERM EROFS ESTALE",
    "fchmodat2": "EACCES EIO ENOMEM EPERM EROFS ESTALE",
    "fchmod": "EIO EPERM EROFS ESTALE",
    "fchownat": "EACCES EDQUOT EIO ENOMEM EPERM EROFS ESTALE",
    "fchown": "EDQUOT EIO EPERM EROFS ESTALE",
    "utimensat": "EACCES EIO EPERM EROFS ESTALE",
    # truncate(2), fallocate(2)
    "ftruncate": "EINTR EIO EPERM ESTALE",
    "fallocate": "EDQUOT EINTR EIO ENOSPC EOPNOTSUPP EPERM ESTALE",
    # stat(2), statx(2), access(2), readlink(2), statfs(2), chdir(2)
    "newfstatat": "EACCES EIO ENOMEM ESTALE",
    "stat": "EACCES EIO ENOMEM ESTALE",
    "lstat": "EACCES EIO ENOMEM ESTALE",
    "statx": "EACCES EIO ENOMEM ESTALE",
    "fstat": "EIO ENOMEM ESTALE",
    "access": "EACCES EIO ENOMEM EROFS ESTALE",
    "faccessat": "EACCES EIO ENOMEM EROFS ESTALE",
    "faccessat2": "EACCES EIO ENOMEM EROFS ESTALE",
    "readlink": "EACCES EIO ENOMEM ESTALE",
    "readlinkat": "EACCES EIO ENOMEM ESTALE",
    "chdir": "EACCES EIO ENOMEM ESTALE",
    "statfs": "EACCES EINTR EIO ENOMEM ESTALE",
    "fstatfs": "EINTR EIO ENOMEM ESTALE",
    # getdents(2), POSIX readdir
    "getdents": "EIO ENOMEM ESTALE",
    "getdents64": "EIO ENOMEM ESTALE",
    # fsync(2), sync(2), sync_file_range(2)
    "fsync": "EDQUOT EINTR EIO ENOSPC EROFS",
    "fdatasync": "EDQUOT EINTR EIO ENOSPC EROFS",
    "syncfs": "EDQUOT EIO ENOSPC",
    "sync_file_range": "EIO ENOMEM ENOSPC",
    # flock(2), fcntl(2); EOPNOTSUPP from file systems without locks
    "flock": "ENOLCK EOPNOTSUPP",
    "fcntl": "ENOLCK EOPNOTSUPP",
    # read(2), write(2), copy_file_range(2), sendfile(2), splice(2)
    **dict.fromkeys(("read", "pread64", "readv", "preadv", "preadv2"), "EINTR EIO ESTALE"),
    **dict.fromkeys(
        ("write", "pwrite64", "writev", "pwritev", "pwritev2"), "EDQUOT EINTR EIO ENOSPC ESTALE"
    ),
    "copy_file_range": "EDQUOT EIO ENOMEM ENOSPC EOPNOTSUPP EPERM EXDEV",
    "sendfile": "EIO ENOMEM ENOSPC",
    "splice": "EIO ENOMEM ENOSPC",
    # close(2): the descriptor is closed all the same
    "close": "EDQUOT EINTR EIO ENOSPC",
}
"""By the name of the call that performs it (its twin), or by its own."""

_ALLOCATES: Final = ("EDQUOT", "ENOSPC")


def errnos_of(call: Call) -> tuple[str, ...]:
    """The names of the errnos that the call can return by no fault of its caller's, in order.

    Empty for a call that cannot fail so, and for one that lets a lock go.
    """
    if call.kind in (CallKind.FLOCK, CallKind.FCNTL):
        return _of_lock(call)
    found = set(TABLE.get(call.form.twin or call.name, TABLE.get(call.name, "")).split())
    if call.kind is CallKind.OPEN:
        if call.writes or call.creates:
            found.add("EROFS")
        if call.creates:
            found.update(_ALLOCATES)
    return tuple(sorted(found))


def _of_lock(call: Call) -> tuple[str, ...]:
    if call.kind is CallKind.FLOCK:
        operation = call.arguments[1]
        if operation & fcntl.LOCK_UN:
            return ()
        waits = not operation & fcntl.LOCK_NB
    else:
        command = locks.command_of(call)
        if command not in locks.LOCK_COMMANDS:
            return ()
        waits = command in (locks.F_SETLKW, locks.F_OFD_SETLKW)
    return tuple(sorted({*TABLE[call.name].split(), *(("EINTR",) if waits else ())}))
