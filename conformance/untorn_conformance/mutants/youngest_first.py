"""The reference that sorts the wrong way. Seeded bug: what was used last is evicted first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from untorn import collect
from untorn.collect import Listed, Orders, Tally

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"G1"})
MAY_FAIL: Final = frozenset({"G11", "G15", "R3"})
SHOWN_BY: Final[Shown] = (
    Case(file="test_collect_order.py", id="G1.least_recently_used_goes_first", says="== 'ceabd'"),
)

_plan = collect.plan


def factory() -> Reference:
    """The mutant, in a process of its own."""
    collect.plan = _plan_backwards
    return Reference()


def _plan_backwards(
    listing: Sequence[Listed], total: int, orders: Orders, tally: Tally
) -> list[Listed]:
    return _plan(listing, total, orders, tally)[::-1]
