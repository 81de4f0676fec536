"""The cache root: safe to use, or refused; everything below it is reached through descriptors.

A root that another user owns, that is a symlink, or that group or others may write to is refused:
whoever can write there could hand us frames (contract S1). One that cannot be made or written is an
OSError, which the cache turns into "uncached" (D1).

The descriptors stay on the inodes that were checked. When the path has come to mean another
directory (deleted, recreated, replaced), `is_current` says so and the cache opens it anew.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import weakref
from dataclasses import dataclass
from typing import NamedTuple

from untorn import layout, syscalls
from untorn.errors import RootRefusedError

# statfs(2) magic numbers of local file systems whose flock and rename are known to hold.
_TRUSTED_TYPES = {
    0xEF53: "ext4",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0x01021994: "tmpfs",
    0x794C7630: "overlay",
    0x2FC12FC1: "zfs",
    0xF2F52010: "f2fs",
    0xCA451A4E: "bcachefs",
    0x858458F6: "ramfs",
}
_WRITABLE_BY_OTHERS = 0o022


class _Checked(NamedTuple):
    """A directory that is ours: what an open descriptor refers to never changes."""

    fd: int
    identity: syscalls.Identity


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """Whether locks can be believed here. Where not, collect and repair stay off (contract N1)."""

    file_system: str
    locks: bool
    reason: str = ""


class Root:
    """Descriptors of a checked root. Closed when the last operation that uses it lets go of it."""

    __slots__ = (
        "__weakref__",
        "_beside",
        "_entries_name",
        "boot_id",
        "ctl_fd",
        "entries_fd",
        "entries_path",
        "fd",
        "identity",
        "path",
        "staging_fd",
        "trash_fd",
        "trust",
    )

    def __init__(self, path: str, fd: int, children: dict[str, _Checked]) -> None:
        self.path = path
        self.fd = fd
        self.entries_fd = children[layout.ENTRIES].fd
        self.staging_fd = children[layout.STAGING].fd
        self.trash_fd = children[layout.TRASH].fd
        self.ctl_fd = children[layout.CTL].fd
        self.entries_path = os.path.join(path, layout.ENTRIES)
        self._entries_name = os.fsencode(self.entries_path)
        self.identity = children[layout.ENTRIES].identity
        self._beside = {
            os.fsencode(name): children[name].identity
            for name in (layout.STAGING, layout.TRASH, layout.CTL)
        }
        self.trust = _judge_trust(self.ctl_fd)
        self.boot_id = _boot_id()
        weakref.finalize(self, _close_all, [fd, *(each.fd for each in children.values())])

    def is_current(self) -> bool:
        """Whether the path still leads to the directory that was checked."""
        try:
            return syscalls.identity_at(self._entries_name) == self.identity
        except OSError:
            return False

    def is_complete(self) -> bool:
        """Whether the directories beside the entries are still the ones that were opened.

        Cleaners of temporary directories take empty ones first. Below a removed trash nothing can
        be set aside, and below a removed ctl each process has a collectors' lock of its own.
        """
        try:
            for name, ours in self._beside.items():
                if syscalls.identity_at(name, self.fd) != ours:
                    return False
        except FileNotFoundError:
            return False
        return True


def open_root(path: str) -> Root:
    """Make the root if it is missing, check it and open it.

    Raises RootRefusedError if it is not safe, OSError if it cannot be made or opened.
    """
    if not syscalls.SUPPORTED:
        raise OSError(errno.ENOTSUP, "the cache needs Linux; frames are extracted uncached", path)
    fd = _open_or_make(path, path).fd
    children: dict[str, _Checked] = {}
    try:
        for name in layout.DIRECTORIES:
            children[name] = _open_or_make(name, os.path.join(path, name), dir_fd=fd)
        _write_once(layout.CACHEDIR_TAG, layout.CACHEDIR_TAG_TEXT, fd)
        _write_once(layout.GC_LOCK, "", children[layout.CTL].fd)
        return Root(path, fd, children)
    except BaseException:
        _close_all([fd, *(each.fd for each in children.values())])
        raise


def _open_or_make(name: str, path: str, *, dir_fd: int | None = None) -> _Checked:
    """The checked directory; made where it is missing, which it hardly ever is."""
    try:
        fd = os.open(name, syscalls.DIRECTORY_FLAGS, dir_fd=dir_fd)
    except OSError:  # it is missing, or the attempt to make it tells what is wrong
        if dir_fd is None:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        _make_directory(name, dir_fd)
        fd = _open_directory(name, path, dir_fd)
    return _check(fd, path)


def _open_directory(name: str, path: str, dir_fd: int | None) -> int:
    try:
        return os.open(name, syscalls.DIRECTORY_FLAGS, dir_fd=dir_fd)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise RootRefusedError(f"{path} is not a directory, or is a symlink") from None
        raise


def _check(fd: int, path: str) -> _Checked:
    """Take the open directory, unless others could meddle with it: then it is closed."""
    try:
        status = os.fstat(fd)
    except OSError:
        os.close(fd)
        raise
    problem = unsafe(status)
    if problem is not None:
        os.close(fd)
        raise RootRefusedError(f"{path} {problem}")
    return _Checked(fd, syscalls.identity_of(status))


def unsafe(status: os.stat_result) -> str | None:
    """Why a directory is not to be trusted (contract S1), to follow its name; None if it is."""
    if status.st_uid != os.geteuid():
        return f"belongs to user {status.st_uid}, not to {os.geteuid()}"
    if status.st_mode & _WRITABLE_BY_OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        return f"can be written by group or others (mode {mode:04o}); chmod 700 it"
    return None


def _make_directory(name: str, dir_fd: int | None) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=dir_fd)
    except FileExistsError:
        return
    except OSError:
        # A read-only file system says so even of what is there: opening it tells what is wrong.
        if not _exists(name, dir_fd):
            raise


def _exists(name: str, dir_fd: int | None) -> bool:
    try:
        os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except OSError:
        return False
    return True


def _write_once(name: str, text: str, dir_fd: int) -> None:
    """Make a small file unless it is there; on a read-only root it is not worth failing for."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | syscalls.FILE_FLAGS
    with (
        contextlib.suppress(OSError),
        syscalls.opened(name, flags, dir_fd=dir_fd, mode=0o600) as fd,
    ):
        os.write(fd, text.encode("ascii"))


def _judge_trust(ctl_fd: int) -> Trust:
    """Believe locks only on known local file systems, and only after seeing one refuse."""
    try:
        magic = syscalls.file_system_type(ctl_fd)
        known = _TRUSTED_TYPES.get(magic)
        if known is None:
            return Trust(
                file_system=f"{magic:#x}", locks=False, reason="not a known local file system"
            )
        return _probe_locks(ctl_fd, known)
    except OSError as error:
        return Trust(file_system="unknown", locks=False, reason=f"locks fail: {error.strerror}")


def _probe_locks(ctl_fd: int, file_system: str) -> Trust:
    """An exclusive lock beside a shared one must be refused; a stub that always succeeds is not."""
    with (
        syscalls.opened(".", syscalls.DIRECTORY_FLAGS, dir_fd=ctl_fd) as reader,
        syscalls.opened(".", syscalls.DIRECTORY_FLAGS, dir_fd=ctl_fd) as collector,
    ):
        holds = syscalls.lock_shared(reader) and not syscalls.lock_exclusive(collector)
    reason = "" if holds else "locks never refuse"
    return Trust(file_system=file_system, locks=holds, reason=reason)


def _boot_id() -> str:
    """This boot's id, or "" where the kernel does not say: such entries are never believed."""
    try:
        with syscalls.opened("/proc/sys/kernel/random/boot_id", os.O_RDONLY) as fd:
            return os.read(fd, 64).decode("ascii").strip()
    except OSError:
        return ""


def _close_all(descriptors: list[int]) -> None:
    for fd in descriptors:
        os.close(fd)
