"""The Linux system calls that the protocol stands on and that Python's `os` does not offer.

renameat2(2), flock(2), fcntl(2) open-file-description locks, syncfs(2), statfs(2) and
statx(2). Each function raises OSError with the call's errno. Elsewhere than on Linux the module
imports, SUPPORTED is False and the cache stays off.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
import sys
import threading
import time
from collections.abc import Iterator

SUPPORTED = sys.platform == "linux"

DIRECTORY_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
FILE_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # never wait on a FIFO

Identity = tuple[int, int, int]
"""An inode number, and the major and the minor number of its device."""

_RENAME_NOREPLACE = 1
_AT_FDCWD = -100
_STATX_FLAGS = 0x900  # AT_SYMLINK_NOFOLLOW and AT_NO_AUTOMOUNT, as lstat has it
_STATX_INO = 0x100  # the device is always told
_STATX = struct.Struct("=32xQ96xII112x")  # struct statx: inode number, device's major and minor
_LOCK_PAUSES_S = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.032)
_F_OFD_SETLK = 37  # linux/fcntl.h; fcntl.F_OFD_SETLK is in Python only where glibc's headers had it
_FLOCK = struct.Struct("hhqqi4x")  # struct flock with 64-bit offsets
_NO_STATX = (errno.ENOSYS, errno.EPERM)  # an old kernel; a container whose filter is older
_DIRENT = struct.Struct("=QqHB")  # struct linux_dirent64 up to its name
_DIRENT_BYTES = 32768

if SUPPORTED:
    import fcntl

    _libc = ctypes.CDLL(None, use_errno=True)
    _libc.renameat2.argtypes = (
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_uint,
    )
    _statx = getattr(_libc, "statx", None)  # glibc before 2.28 and musl before 1.2.5 have none
    _StatxRoom = ctypes.c_char * _STATX.size


def _raise_errno(name: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), name)


def rename_noreplace(source_fd: int, source: str, target_fd: int, target: str) -> None:
    """Rename below two directory descriptors; EEXIST or ENOTEMPTY if the target exists.

    xfs answers EEXIST where ext4, tmpfs and btrfs answer ENOTEMPTY; EINVAL or ENOSYS mean that this
    file system or kernel does not know RENAME_NOREPLACE. Source: renameat2(2).
    """
    if _libc.renameat2(
        source_fd, os.fsencode(source), target_fd, os.fsencode(target), _RENAME_NOREPLACE
    ):
        _raise_errno(target)


def lock_shared(fd: int) -> bool:
    """Take a shared flock without waiting; False if somebody holds it exclusively."""
    return _flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)


def lock_exclusive(fd: int) -> bool:
    """Take an exclusive flock without waiting; False if anybody holds it.

    A failed conversion from shared has already dropped the shared lock (flock(2)), so callers never
    convert: they lock a descriptor of their own.
    """
    return _flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _flock(fd: int, operation: int) -> bool:
    try:
        fcntl.flock(fd, operation)
    except BlockingIOError:
        return False
    return True


def lock_byte(fd: int, offset: int) -> bool:
    """Take an exclusive open-file-description lock on one byte; False if another holds it.

    Such a lock belongs to the open file description: it is released by the last close of it, so
    threads that each open the file exclude one another. Source: fcntl(2), F_OFD_SETLK.
    """
    request = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
    try:
        fcntl.fcntl(fd, _F_OFD_SETLK, request)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def lock_byte_soon(fd: int, offset: int) -> bool:
    """`lock_byte`, waiting at most 0.1 s for a process that may have been stopped.

    The pauses double, so that a wait takes few steps while nothing changes (contract L4).
    """
    for pause_s in _LOCK_PAUSES_S:
        if lock_byte(fd, offset):
            return True
        time.sleep(pause_s)
    return lock_byte(fd, offset)


def sync_file_system(fd: int) -> None:
    """Write back everything of the file system that holds `fd` (syncfs(2))."""
    if _libc.syncfs(fd):
        _raise_errno("syncfs")


def file_system_type(fd: int) -> int:
    """The f_type magic number of the file system that holds `fd` (statfs(2))."""
    buffer = ctypes.create_string_buffer(256)  # struct statfs is 120 bytes on 64-bit Linux
    if _libc.fstatfs(fd, buffer):
        _raise_errno("fstatfs")
    return int(ctypes.c_long.from_buffer(buffer).value) & 0xFFFFFFFF


def identity_at(name: bytes, dir_fd: int = _AT_FDCWD) -> Identity:
    """The identity of what has that name now; no link is followed (statx(2)).

    `os.lstat` is told the times, the size and the links of a directory besides, which change with
    each entry that anybody makes there: so whoever looks at them depends on everybody. Each lookup
    asks this, so a name is encoded by who keeps it.
    """
    if _statx is None:
        return identity_of(os.stat(name, dir_fd=dir_fd, follow_symlinks=False))
    room = _StatxRoom()
    if _statx(dir_fd, name, _STATX_FLAGS, _STATX_INO, room):
        if ctypes.get_errno() in _NO_STATX:
            return identity_of(os.stat(name, dir_fd=dir_fd, follow_symlinks=False))
        _raise_errno(os.fsdecode(name))
    number, major, minor = _STATX.unpack_from(room)
    return number, major, minor


def identity_of(status: os.stat_result) -> Identity:
    """What tells an inode from all others that there are."""
    return status.st_ino, os.major(status.st_dev), os.minor(status.st_dev)


def names_below(dir_fd: int) -> list[str]:
    """The names in a directory, listed through a descriptor of its own.

    `os.listdir(fd)` moves the offset of the open file description, which other threads and forked
    children share: two listings at once each miss what the other has read.
    """
    with opened(".", DIRECTORY_FLAGS, dir_fd=dir_fd) as fd:
        return list_directory(fd)


def list_directory(fd: int) -> list[str]:
    """The names in the directory that is open as `fd`, without opening anything (getdents64(2)).

    `os.listdir` and `os.scandir` duplicate the descriptor, which fails at the limit; they are
    faster where there are many names.
    """
    os.lseek(fd, 0, os.SEEK_SET)
    buffer = ctypes.create_string_buffer(_DIRENT_BYTES)
    names = []
    while (size := _libc.getdents64(fd, buffer, _DIRENT_BYTES)) > 0:
        offset, raw = 0, buffer.raw
        while offset < size:
            _, _, length, _ = _DIRENT.unpack_from(raw, offset)
            start = offset + _DIRENT.size
            names.append(os.fsdecode(raw[start : raw.index(0, start)]))
            offset += length
    if size < 0:
        _raise_errno("getdents64")
    os.lseek(fd, 0, os.SEEK_SET)  # os.scandir(fd) would start where we ended
    return [name for name in names if name not in (".", "..")]


def require_only_name(fd: int, path: str) -> None:
    """What we change must have no other name: a planted hard link leads out of the cache."""
    if os.fstat(fd).st_nlink > 1:
        raise OSError(errno.EMLINK, "it has another name, outside of the cache perhaps", path)


@contextlib.contextmanager
def opened(path: str, flags: int, *, dir_fd: int | None = None, mode: int = 0o600) -> Iterator[int]:
    """A descriptor for the length of a block; close-on-exec, as all of ours.

    A child that another thread forks meanwhile closes it: a lock belongs to the open file
    description, so the child's copy would go on holding it after our block has ended.
    """
    fd = os.open(path, flags, mode, dir_fd=dir_fd)
    _in_blocks[fd] = threading.get_ident()
    try:
        may_be_planted = dir_fd is not None and not flags & os.O_EXCL
        if may_be_planted and flags & os.O_ACCMODE != os.O_RDONLY:
            require_only_name(fd, path)
        yield fd
    finally:
        del _in_blocks[fd]  # before the close: afterwards the number may be another thread's
        os.close(fd)


_in_blocks: dict[int, int] = {}  # descriptor -> the thread whose block it is


def _close_inherited() -> None:
    ours = threading.get_ident()
    for fd in [fd for fd, thread in _in_blocks.items() if thread != ours]:
        del _in_blocks[fd]
        os.close(fd)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)
