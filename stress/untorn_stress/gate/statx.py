"""A statx(2) that asks for little, and what it is told: no more than that.

The kernel fills in more than was asked for. So one that asks for nothing that data or entries
change is performed by us (``perform``), and what it did not ask for is blank.

Rule 1: ``stx_mask`` says what is told: what was asked for, as far as the file system has it.
Rule 2: what no mask asks for is told where it cannot change: the devices. The block size is the
        file system's, since some make the inode's follow from its size; of ``stx_attributes`` none
        is said to be supported.

Source: statx(2), linux/stat.h.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Mapping
from typing import Final

TYPE: Final = 0x1
MODE: Final = 0x2
INO: Final = 0x100
_OTHERS: Final[Mapping[int, slice]] = {
    0x8: slice(20, 24),  # STATX_UID
    0x10: slice(24, 28),  # STATX_GID
    0x20: slice(64, 76),  # STATX_ATIME
    INO: slice(32, 40),
    0x800: slice(80, 92),  # STATX_BTIME
    0x1000: slice(144, 152),  # STATX_MNT_ID
}
"""Where that lies in ``struct statx``."""

BYTES: Final = 256
_LITTLE: Final = TYPE | MODE | sum(_OTHERS)
_MASK: Final = struct.Struct("=II")  # stx_mask, stx_blksize
_MODE: Final = struct.Struct("=H")
_MODE_AT: Final = 28
_DEVICES: Final = slice(128, 144)  # stx_rdev_major, stx_rdev_minor, stx_dev_major, stx_dev_minor


def asks_little(mask: int) -> bool:
    """Whether none of what is asked for follows from data or entries, nor may in a later kernel."""
    return not mask & 0xFFFFFFFF & ~_LITTLE


def blanked(filled: bytes, mask: int, block_bytes: int) -> bytes:
    """What of a filled ``struct statx`` was asked for."""
    told = bytearray(BYTES)
    for bit, where in _OTHERS.items():
        if mask & bit:
            told[where] = filled[where]
    told[_DEVICES] = filled[_DEVICES]
    _MASK.pack_into(told, 0, _MASK.unpack_from(filled)[0] & mask, block_bytes)
    (mode,) = _MODE.unpack_from(filled, _MODE_AT)
    kept = (stat.S_IFMT(mode) if mask & TYPE else 0) | (stat.S_IMODE(mode) if mask & MODE else 0)
    _MODE.pack_into(told, _MODE_AT, kept)
    return bytes(told)
