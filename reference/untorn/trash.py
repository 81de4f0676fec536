"""Set aside, then delete: nothing is ever deleted where somebody could still look it up.

Deleting 120 frames takes milliseconds, renaming their directory 50 microseconds. So whatever leaves
the namespace is renamed into `trash/` first, and emptied there; a killed deleter's rest is drained
by the next collect.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass

from untorn import layout, syscalls
from untorn.root import Root

_NO_DIRECTORY = (errno.ENOTDIR, errno.ELOOP)


@dataclass(frozen=True, slots=True)
class Deleted:
    """What a deletion removed: files, and the st_size of them summed over the removed links."""

    files: int
    size: int


def set_aside(root: Root, parent_fd: int, name: str, inode: int) -> str | None:
    """Rename the directory `name`, whose inode is `inode`, into the trash; its name there.

    The caller holds EX on it, so no other process of ours moves it. An outsider may have removed
    it and a writer published another in its place between our check and our rename: then the wrong
    one was moved, and it is put back. Returns None in that case. Where it cannot be told which was
    moved, it is put back too, and the error raised; if it cannot be put back, it is gone.
    """
    target = layout.trash_name(name)
    os.rename(name, target, src_dir_fd=parent_fd, dst_dir_fd=root.trash_fd)
    try:
        moved = os.stat(target, dir_fd=root.trash_fd, follow_symlinks=False)
    except FileNotFoundError:
        return target  # a collector is draining the trash and has deleted it already
    except OSError:
        try:
            syscalls.rename_noreplace(root.trash_fd, target, parent_fd, name)
        except OSError:
            return target
        raise
    if moved.st_ino == inode:
        return target
    syscalls.rename_noreplace(root.trash_fd, target, parent_fd, name)
    return None


def delete(trash_fd: int, name: str) -> Deleted:
    """Delete `name` below the trash with all it holds; what was removed, without raising.

    Symlinks are removed and not followed, devices and FIFOs are not opened. What cannot be removed
    stays, uncounted, for the next collect. Directories inside are raised into the trash first, so
    that one descriptor and no recursion do for a tree of any depth.
    """
    files = size = 0
    pending = [name]
    while pending:
        deleted = _delete_one(trash_fd, pending.pop(), pending)
        files += deleted.files
        size += deleted.size
    return Deleted(files, size)


def discard(trash_fd: int, name: str, fd: int) -> None:
    """Delete the directory `name` below the trash, which is open as `fd`, without weighing it.

    As `delete`; for what was never counted, which takes half the system calls.
    """
    pending: list[str] = []
    with contextlib.suppress(OSError):  # what stays is for the next collect
        for child in syscalls.list_directory(fd):
            with contextlib.suppress(OSError):
                try:
                    os.unlink(child, dir_fd=fd)
                except (IsADirectoryError, PermissionError):  # the latter is POSIX's answer
                    pending.append(_raise(trash_fd, fd, child))
        os.rmdir(name, dir_fd=trash_fd)
    for raised in pending:
        delete(trash_fd, raised)


def _raise(trash_fd: int, fd: int, child: str) -> str:
    raised = layout.random_suffix()
    os.rename(child, raised, src_dir_fd=fd, dst_dir_fd=trash_fd)
    return raised


def _delete_one(trash_fd: int, name: str, pending: list[str]) -> Deleted:
    deleted = Deleted(0, 0)
    with contextlib.suppress(OSError):  # gone already (another deleter), or not ours to remove
        try:
            with syscalls.opened(name, syscalls.DIRECTORY_FLAGS, dir_fd=trash_fd) as fd:
                deleted = _empty(trash_fd, fd, pending)
        except OSError as error:
            if error.errno not in _NO_DIRECTORY:
                raise
            return _weighed_unlink(trash_fd, name)
        os.rmdir(name, dir_fd=trash_fd)
    return deleted


def _empty(trash_fd: int, fd: int, pending: list[str]) -> Deleted:
    files = size = 0
    for child in syscalls.list_directory(fd):
        with contextlib.suppress(OSError):  # as above; the rest can go all the same
            status = os.stat(child, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                pending.append(_raise(trash_fd, fd, child))
            else:
                os.unlink(child, dir_fd=fd)
                files += 1
                size += status.st_size
    return Deleted(files, size)


def _weighed_unlink(trash_fd: int, name: str) -> Deleted:
    status = os.stat(name, dir_fd=trash_fd, follow_symlinks=False)
    os.unlink(name, dir_fd=trash_fd)
    return Deleted(1, status.st_size)


def drain(root: Root) -> int:
    """Delete what deleters left in the trash that were killed, or could not; bytes of entries.

    Whoever set an entry aside has not counted what it left of it.
    """
    size = 0
    for name in syscalls.list_directory(root.trash_fd):
        deleted = delete(root.trash_fd, name)
        size += deleted.size if layout.was_entry(name) else 0
    return size
