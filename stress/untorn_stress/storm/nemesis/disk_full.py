"""The disk is full: not a byte is left on the small file system, until room is made again."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import Final

from untorn_stress.storm.nemesis.filling import (
    EXCUSES,
    LASTS_S,
    filled,
    no_small_disk,
    require_full,
)
from untorn_stress.storm.nemesis.protocol import Blow, Field

_FILLER: Final = "filler"
_CHUNKS: Final = (1024 * 1024, 4096)


class DiskFull:
    """Fills all bytes with one file beside the root."""

    name: Final = "disk-full"
    lasts_s: Final = LASTS_S
    excuses: Final = EXCUSES

    def cannot(self, field: Field) -> str:
        """It needs a file system of our own."""
        return no_small_disk(field)

    def strike(self, field: Field, dice: Random) -> Blow | None:
        """Fill; it bit if a worker said that there was no room."""
        path = field.root.parent / f"{_FILLER}-{dice.getrandbits(32):08x}"
        return filled(
            self.name,
            field,
            dice,
            fill=lambda: f"{fill(path)} bytes filled",
            empty=lambda: path.unlink(missing_ok=True),
        )


def fill(path: Path) -> int:
    """Append to a file until there is no room for a page; how long it is then."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        require_full(error)  # of inodes, by another strike
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
        require_full(error)
