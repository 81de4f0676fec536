"""The reference without recency. Seeded bug: no hit is noted, so what came first goes first."""

from __future__ import annotations

from typing import Final

from untorn import lookup

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"R3", "G1"})
MAY_FAIL: Final = frozenset({"G11", "G15"})
SHOWN_BY: Final[Shown] = (
    Case(file="test_read.py", id="R3.a_hit_outlives_what_was_not_hit", says="[True, False]"),
    Case(file="test_collect_order.py", id="G1.least_recently_used_goes_first", says="'ceabd'"),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    lookup.touch = _leave
    return Reference()


def _leave(fd: int, now_s: float) -> bool:
    del fd, now_s
    return True
