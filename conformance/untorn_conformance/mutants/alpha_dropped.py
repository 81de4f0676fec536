"""The reference that lets any decoder decode. Seeded bug: the alpha of VP8 and VP9 is dropped."""

from __future__ import annotations

from typing import Final

from untorn import command

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
    for clip in ("alpha_vp8", "alpha_vp9")
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    command._ALPHA_DECODERS = {}
    return Reference()
