"""How much is stored: counter, ledger, disk.

The counter (`ctl/usage`) is a trigger: it answers "over budget?" with one read, however many
entries there are. The ledger (`ctl/ledger`) is a hint of each entry's size, appended at publish, so
that a sweep reads no manifest. The disk is the truth: each sweep lists it and heals the counter,
which a process killed between its rename and its count leaves wrong.
"""

from __future__ import annotations

import binascii
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from untorn import layout, syscalls
from untorn.root import Root

_USAGE = struct.Struct("<qq")
_MOST = 1 << 60  # bytes or entries; more is a damaged counter, and adding to it would overflow
_LEDGER_LINE = re.compile(rb"\+([0-9a-f]{64}) ([0-9]{1,15})\n")  # one without its end was cut
_LONGER_THAN_A_LINE = 128
_READ_BYTES = 1 << 20


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


def record(root: Root, key: str, size: int) -> None:
    """Append an entry's size to the ledger (raises OSError)."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | syscalls.FILE_FLAGS
    with syscalls.opened(layout.LEDGER, flags, dir_fd=root.ctl_fd) as fd:
        os.write(fd, b"+%s %d\n" % (key.encode("ascii"), size))


@dataclass(frozen=True, slots=True)
class Ledger:
    """The sizes that were recorded, and how many lines it took."""

    sizes: dict[bytes, int]  # by the key's 32 bytes: half the memory of its text
    lines: int

    def size_of(self, key: str) -> int | None:
        """The recorded size in bytes, or None if the ledger does not know the key."""
        return self.sizes.get(bytes.fromhex(key))


def read_ledger(root: Root) -> Ledger:
    """Everything recorded; a line that was cut or joined is passed over, as only a hint may be."""
    sizes: dict[bytes, int] = {}
    lines = 0
    try:
        with syscalls.opened(
            layout.LEDGER, os.O_RDONLY | syscalls.FILE_FLAGS, dir_fd=root.ctl_fd
        ) as fd:
            for line in _lines(fd):
                lines += 1
                match = _LEDGER_LINE.fullmatch(line)
                if match:
                    key, size = match.groups()
                    sizes[binascii.unhexlify(key)] = int(size)
    except FileNotFoundError:
        return Ledger({}, 0)
    return Ledger(sizes, lines)


def _lines(fd: int) -> Iterator[bytes]:
    """The lines of a file, ends included; of one that is too long to be ours, its end."""
    rest = b""
    while chunk := os.read(fd, _READ_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line + b"\n"
        rest = rest[-_LONGER_THAN_A_LINE:]
    if rest:
        yield rest


def rewrite_ledger(root: Root, live: dict[str, int]) -> None:
    """Replace the ledger's text by the living entries', in place (raises OSError).

    In place, because files below ctl/ are never unlinked. A publish in between appends behind the
    cut, and a crash in between only costs the next sweep some manifests to read.
    """
    text = b"".join(b"+%s %d\n" % (key.encode("ascii"), size) for key, size in live.items())
    with syscalls.opened(
        layout.LEDGER, os.O_WRONLY | syscalls.FILE_FLAGS, dir_fd=root.ctl_fd
    ) as fd:
        os.ftruncate(fd, 0)
    with syscalls.opened(
        layout.LEDGER, os.O_WRONLY | os.O_APPEND | syscalls.FILE_FLAGS, dir_fd=root.ctl_fd
    ) as fd:
        view = memoryview(text)
        while view:
            view = view[os.write(fd, view) :]
