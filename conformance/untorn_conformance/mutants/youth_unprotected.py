"""The reference that evicts the young. Seeded bug: min_age is not looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from untorn import collect
from untorn.collect import Listed, Orders, Tally

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"G3"})
MAY_FAIL: Final = frozenset({"D4", "G2", "G11", "G13", "O1"})
SHOWN_BY: Final[Shown] = (
    Case(file="test_collect.py", id="G3.spares_what_is_younger_than_min_age", says="== 'cd'"),
)

_plan = collect.plan


def factory() -> Reference:
    """The mutant, in a process of its own."""
    collect.plan = _plan_for_all
    return Reference()


def _plan_for_all(
    listing: Sequence[Listed], total: int, orders: Orders, tally: Tally
) -> list[Listed]:
    return _plan(listing, total, replace(orders, min_age_s=0.0), tally)
