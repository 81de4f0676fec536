"""The reference that lets the future be. Seeded bug: what is dated tomorrow is never evicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from untorn import collect
from untorn.collect import Listed, Orders, Tally
from untorn.lookup import NS

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"G11"})
MAY_FAIL: Final = frozenset({"G2"})
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_collect_order.py", id="G11.what_is_dated_tomorrow_can_be_evicted", says="== ''"
    ),
)

_plan = collect.plan


def factory() -> Reference:
    """The mutant, in a process of its own."""
    collect.plan = _plan_of_the_past
    return Reference()


def _plan_of_the_past(
    listing: Sequence[Listed], total: int, orders: Orders, tally: Tally
) -> list[Listed]:
    past = [each for each in listing if each.mtime_ns <= orders.now_s * NS]
    return _plan(past, total, orders, tally)
