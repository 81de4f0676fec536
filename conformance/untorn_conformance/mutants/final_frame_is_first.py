"""The reference that seeks to the start. Seeded bug: the final frame is the range's first one."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from untorn import command
from untorn.clip import ClipInfo
from untorn.command import Range

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"X1"})
MAY_FAIL: Final[frozenset[str]] = frozenset()
SHOWN_BY: Final[Shown] = tuple(
    Case(
        file="test_pixels.py",
        id=f"X1.cold_warm_uncached_and_plain_are_identical[{clip}]",
        says="cold against ffmpeg alone",
    )
    for clip in ("final frame", "final frame of uneven ones")
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    command._last_moment_s = _start
    return Reference()


def _start(wanted: Range, info: ClipInfo) -> Fraction:
    del info
    return wanted.start_s
