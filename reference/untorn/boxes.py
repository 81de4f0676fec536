"""Whether a QuickTime or MP4 file turns its pictures: the matrices of its movie and track headers.

PyAV shows a display matrix on a decoded picture alone, and decoding one takes longer than all else
that a probe does; the header says in microseconds that there is none. Layouts: ISO/IEC 14496-12,
8.2.2 (mvhd) and 8.3.2 (tkhd).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

# 16.16 and, in the last column, 2.30 fixed point.
_IDENTITY = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
_MATRIX_AT = {b"mvhd": (36, 48), b"tkhd": (40, 52)}  # in versions 0 and 1, behind the box's header
_WITHIN = {b"moov", b"trak"}
_MOST_BOXES = 10_000


def may_turn(path: str) -> bool:
    """False if each header of the file has the matrix that changes nothing; True if unsure.

    Raises OSError if the file cannot be read.
    """
    with open(path, "rb") as file:
        end = file.seek(0, 2)
        try:
            matrices = list(_matrices(file, 0, end))
        except (struct.error, RecursionError):
            return True
    return not matrices or any(matrix != _IDENTITY for matrix in matrices)


def _matrices(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    for _ in range(_MOST_BOXES):
        if start + 8 > end:
            return
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        body = start + 8
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
            body += 8
        stop = start + size if size else end
        if stop < body:
            raise struct.error("a box that ends before it begins")
        if kind in _WITHIN:
            yield from _matrices(file, body, min(stop, end))
        elif kind in _MATRIX_AT:
            version = file.read(1)
            file.seek(body + _MATRIX_AT[kind][version != b"\0"])
            yield file.read(len(_IDENTITY))
        start = stop
    raise struct.error("more boxes than any clip has")
