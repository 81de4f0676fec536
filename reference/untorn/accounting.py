"""How much is stored: counter and disk.

The counter (`ctl/usage`) is a trigger: it answers "over budget?" with one read, however many
entries there are. The disk is the truth: each sweep lists it, reads every entry's size from its own
manifest, and heals the counter, which a process killed between its rename and its count leaves
wrong. Sizes are remembered nowhere else: a key's earlier entry may have been of another size.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from untorn import layout, syscalls
from untorn.root import Root

_USAGE = struct.Struct("<qq")
_MOST = 1 << 60  # bytes or entries; more is a damaged counter, and adding to it would overflow


@dataclass(frozen=True, slots=True)
class Usage:
    """Entries and their bytes (st_size, manifests included), as the counter has them."""

    entries: int
    size: int


def read(root: Root) -> Usage:
    """The counter; zero where nothing was counted yet (raises OSError)."""
    return read_at(root.ctl_fd)


def read_at(ctl_fd: int) -> Usage:
    """`read` of the root whose `ctl` directory is open as `ctl_fd`."""
    try:
        with syscalls.opened(layout.USAGE, os.O_RDONLY | syscalls.FILE_FLAGS, dir_fd=ctl_fd) as fd:
            return _unpack(os.pread(fd, _USAGE.size, 0))
    except FileNotFoundError:
        return Usage(0, 0)


def add(root: Root, entries: int, size: int) -> Usage:
    """Add to the counter; what it is now (raises OSError).

    Waits at most 0.1 s for a process that is counting: a stopped one must not stop us, and the next
    sweep heals what was not counted.
    """
    flags = os.O_RDWR | os.O_CREAT | syscalls.FILE_FLAGS
    with syscalls.opened(layout.USAGE, flags, dir_fd=root.ctl_fd) as fd:
        locked = syscalls.lock_byte_soon(fd, 0)
        before = _unpack(os.pread(fd, _USAGE.size, 0))
        if not locked:
            return before
        after = Usage(max(0, before.entries + entries), max(0, before.size + size))
        os.pwrite(fd, _USAGE.pack(after.entries, after.size), 0)
        return after


def _unpack(raw: bytes) -> Usage:
    """The counter; zero for one that was cut or cannot be true, which the next sweep heals."""
    if len(raw) != _USAGE.size:
        return Usage(0, 0)
    usage = Usage(*_USAGE.unpack(raw))
    believable = 0 <= usage.entries < _MOST and 0 <= usage.size < _MOST
    return usage if believable else Usage(0, 0)
