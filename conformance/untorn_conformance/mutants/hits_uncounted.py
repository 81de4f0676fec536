"""The reference that counts its misses alone. Seeded bug: a hit is not counted."""

from __future__ import annotations

from typing import Final

from untorn import reading
from untorn.access import Access
from untorn.frames import Frames
from untorn.outcome import Delivery, Miss

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"O1"})
MAY_FAIL: Final[frozenset[str]] = frozenset()
SHOWN_BY: Final[Shown] = (
    Case(file="test_observability.py", id="O1.hits_and_misses_by_reason", says="hit"),
)

_count = reading.count


def factory() -> Reference:
    """The mutant, in a process of its own."""
    reading.count = _count_misses
    return Reference()


def _count_misses(access: Access, found: Frames | Miss, *, lost: Delivery | None = None) -> None:
    if isinstance(found, Miss):
        _count(access, found, lost=lost)
