"""The reference with an order of text. Seeded bug: frames are sorted by name, 10 before 9."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from untorn import manifest

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"R1"})
MAY_FAIL: Final = frozenset({"P1", "X1"})
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_read.py",
        id="R1.frames_come_in_numeric_order[past 9, unpadded]",
        says="listed: frame_10.png",
    ),
)

_order_frames = manifest.order_frames


def factory() -> Reference:
    """The mutant, in a process of its own."""
    manifest.order_frames = _by_name
    return Reference()


def _by_name(names: Sequence[str]) -> list[str]:
    return sorted(_order_frames(names))
