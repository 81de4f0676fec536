"""The reference with ages that have no sign. Seeded bug: what is a day ahead is a day old."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from untorn import collect
from untorn.collect import Listed, Orders, Tally
from untorn.lookup import NS

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"G11"})
MAY_FAIL: Final = frozenset({"G3"})
SHOWN_BY: Final[Shown] = (
    Case(file="test_collect_order.py", id="G11.a_future_mtime_counts_as_now", says="== 'abc'"),
)

_plan = collect.plan


def factory() -> Reference:
    """The mutant, in a process of its own."""
    collect.plan = _plan_without_sign
    return Reference()


def _plan_without_sign(
    listing: Sequence[Listed], total: int, orders: Orders, tally: Tally
) -> list[Listed]:
    mirrored = {each.key: each for each in listing}
    now_ns = int(orders.now_s * NS)
    aged = [each._replace(mtime_ns=now_ns - abs(now_ns - each.mtime_ns)) for each in listing]
    return [mirrored[each.key] for each in _plan(aged, total, orders, tally)]
