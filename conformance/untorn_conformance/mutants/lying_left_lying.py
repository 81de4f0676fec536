"""The reference that shows what is stored. Seeded bug: a rotated clip is not made upright."""

from __future__ import annotations

from typing import Final

from untorn import command
from untorn.clip import ClipInfo
from untorn.command import Range

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"X1"})
MAY_FAIL: Final[frozenset[str]] = frozenset()
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_pixels.py",
        id="X1.cold_warm_uncached_and_plain_are_identical[rotated]",
        says="(90, 160, 3) uint8 against (160, 90, 3) uint8",
    ),
)

_reading = command._reading


def factory() -> Reference:
    """The mutant, in a process of its own."""
    command._reading = _as_stored
    return Reference()


def _as_stored(wanted: Range, info: ClipInfo) -> dict[str, str | None]:
    return {**_reading(wanted, info), "noautorotate": None}
