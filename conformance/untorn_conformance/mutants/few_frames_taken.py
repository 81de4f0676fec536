"""The reference that does not count frames. Seeded bug: as many as there are must be all."""

from __future__ import annotations

from typing import Final

from untorn import estimate
from untorn.clip import ClipInfo
from untorn.command import Range

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"D5"})
MAY_FAIL: Final = frozenset({"D2"})
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_degrade_extract.py",
        id="D5.a_failed_extraction_publishes_nothing[truncated]",
        says="DID NOT RAISE",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    estimate.require_enough = _take
    return Reference()


def _take(found: int, info: ClipInfo, wanted: Range, expected: int | None) -> None:
    del found, info, wanted, expected
