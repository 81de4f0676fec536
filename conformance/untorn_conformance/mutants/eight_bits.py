"""The reference that knows eight bits. Seeded bug: every frame is written as rgb24."""

from __future__ import annotations

from typing import Final

from untorn import command
from untorn.command import Range

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"X1"})
MAY_FAIL: Final[frozenset[str]] = frozenset()
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_pixels.py",
        id="X1.cold_warm_uncached_and_plain_are_identical[hdr10]",
        says="cold against ffmpeg alone",
    ),
)

_encoding = command._encoding


def factory() -> Reference:
    """The mutant, in a process of its own."""
    command._encoding = _shallow
    return Reference()


def _shallow(wanted: Range) -> dict[str, str | int]:
    return {**_encoding(wanted), "pix_fmt": "rgb24"}
