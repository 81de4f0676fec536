"""The reference with one word for two things. Seeded bug: what cannot be read is called absent."""

from __future__ import annotations

from typing import Final

from untorn import lookup
from untorn.outcome import Miss, MissReason

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"R6"})
MAY_FAIL: Final = frozenset({"D1", "D2", "E1", "O1", "P5", "R2"})
SHOWN_BY: Final[Shown] = (
    Case(file="test_read.py", id="R6.unreadable_is_not_called_absent", says="ABSENT"),
)

_miss_of = lookup._miss_of


def factory() -> Reference:
    """The mutant, in a process of its own."""
    lookup._miss_of = _simplified
    return Reference()


def _simplified(error: OSError) -> Miss:
    found = _miss_of(error)
    return Miss(reason=MissReason.ABSENT) if found.reason is MissReason.UNREADABLE else found
