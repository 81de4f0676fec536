"""The disk is full: not a byte is left on the small file system, until room is made again."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from random import Random
from typing import Final

from untorn_conformance.history import Excuse

from untorn_stress.storm.nemesis.protocol import Blow, Field, after

_FILLER: Final = "filler"
_CHUNKS: Final = (1024 * 1024, 4096)
_NO_ROOM: Final = frozenset({"ENOSPC", "EDQUOT"})
_FEWEST_S: Final = 0.3
_MORE_S: Final = 0.7


def no_small_disk(field: Field) -> str:
    """Why a disk cannot be filled here."""
    return "" if field.is_small else "only a small file system is filled"


def met_no_room(field: Field, begin_ns: int) -> bool:
    """Whether a worker has said since that there was no room."""
    return any(
        each.reason in _NO_ROOM or any(word in each.message for word in (*_NO_ROOM, "No space"))
        for each in field.refused_since(begin_ns)
    )


def is_full(error: OSError) -> bool:
    """Whether the error says that there is no room; any other flies."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    raise error


class DiskFull:
    """Fills all bytes with one file beside the root, and keeps it full against what is freed."""

    name: Final = "disk-full"
    lasts_s: Final = 1.0
    excuses: Final = (Excuse.REFUSES,)

    def cannot(self, field: Field) -> str:
        """It needs a file system of our own."""
        return no_small_disk(field)

    def strike(self, field: Field, dice: Random) -> Blow | None:
        """Fill; it bit if a worker said that there was no room."""
        begin_ns = time.monotonic_ns()
        path = field.root.parent / f"{_FILLER}-{dice.getrandbits(32):08x}"
        filled = fill(path)
        ends = after(_FEWEST_S + dice.random() * _MORE_S)

        def over() -> bool:
            fill(path)  # what a collect freed is taken again
            return ends()

        return Blow(
            name=self.name,
            excuses=self.excuses,
            begin_ns=begin_ns,
            over=over,
            heal=lambda: path.unlink(missing_ok=True),
            proof=lambda: met_no_room(field, begin_ns),
            detail=f"{filled} bytes filled",
        )


def fill(path: Path) -> int:
    """Append to a file until there is no room for a page; how long it is then."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        is_full(error)  # of inodes, by another strike
        return 0
    try:
        for chunk in _CHUNKS:
            _append(fd, bytes(chunk))
        return os.fstat(fd).st_size
    finally:
        os.close(fd)


def _append(fd: int, chunk: bytes) -> None:
    try:
        while os.write(fd, chunk):
            continue
    except OSError as error:
        if not is_full(error):
            raise
