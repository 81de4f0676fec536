"""Room for an extraction: bytes and inodes, less what other writers are about to use.

A reservation is a small file inside a writer's staging. It counts while that staging is locked, so
it dies with its writer. statvfs(3): btrfs and some others report no inodes at all, which means that
there is no limit on them.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from untorn import layout, syscalls
from untorn.root import Root
from untorn.staging import Staging

# What must stay free: 2 % of the file system, at most 256 MiB. A full disk hurts everybody else.
_FREE_SHARE = 0.02
_FREE_MAX_BYTES = 256 * 1024 * 1024
_RESERVATION_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Need:
    """What an extraction is expected to take."""

    size: int
    files: int


def reserve(staging: Staging, need: Need) -> None:
    """Tell other writers what we are about to use (raises OSError)."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | syscalls.FILE_FLAGS
    text = json.dumps({"bytes": need.size, "files": need.files}).encode("ascii")
    with syscalls.opened(layout.RESERVATION, flags, dir_fd=staging.fd) as fd:
        os.write(fd, text)


def missing(root: Root, need: Need) -> Need | None:
    """How much is short for `need`, or None if there is room (raises OSError)."""
    status = os.fstatvfs(root.entries_fd)
    keep = min(int(status.f_blocks * status.f_frsize * _FREE_SHARE), _FREE_MAX_BYTES)
    promised = _promised(root)
    return _short(status, need, Need(keep + promised.size, promised.files))


def missing_outside(fd: int, need: Need) -> Need | None:
    """The same of the file system that holds `fd`, where nothing is kept free (raises OSError).

    Who is not served there either has nothing.
    """
    return _short(os.fstatvfs(fd), need, Need(0, 0))


def _short(status: os.statvfs_result, need: Need, taken: Need) -> Need | None:
    free = status.f_bavail * status.f_frsize - taken.size
    inodes = status.f_favail - taken.files if status.f_files else need.files
    short = Need(max(0, need.size - free), max(0, need.files - inodes))
    return short if short.size or short.files else None


def _promised(root: Root) -> Need:
    """What living writers have reserved and not yet written."""
    size = files = 0
    for name in syscalls.names_below(root.staging_fd):
        try:
            with syscalls.opened(name, syscalls.DIRECTORY_FLAGS, dir_fd=root.staging_fd) as fd:
                left = _left_to_write(fd)
        except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
            continue  # gone, or no reservation in it, or one that means nothing
        size += left.size
        files += left.files
    return Need(size, files)


def _left_to_write(fd: int) -> Need:
    if syscalls.lock_exclusive(fd):
        return Need(0, 0)  # nobody holds it: a dead writer's promise
    with syscalls.opened(
        layout.RESERVATION, os.O_RDONLY | syscalls.FILE_FLAGS, dir_fd=fd
    ) as reservation:
        promise = json.loads(os.read(reservation, _RESERVATION_BYTES))
    with os.scandir(fd) as children:
        written = [child.stat(follow_symlinks=False).st_size for child in children]
    return Need(
        max(0, int(promise["bytes"]) - sum(written)),
        max(0, int(promise["files"]) - len(written)),
    )
