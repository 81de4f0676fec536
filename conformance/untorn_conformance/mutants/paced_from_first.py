"""The reference that takes each pace for even. Seeded bug: ticks are counted from the first frame.

A range that begins while a frame is still shown then begins with the next one, however late.
"""

from __future__ import annotations

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
    for clip in ("vfr amid a long frame", "vfr_matroska")
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    command._from_key_frame = _only_for_the_last
    return Reference()


def _only_for_the_last(wanted: Range, info: ClipInfo) -> bool:
    del info
    return wanted.final_frame
