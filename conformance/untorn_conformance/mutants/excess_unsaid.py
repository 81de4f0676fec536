"""The reference that is always content. Seeded bug: no collect says how far over budget it ends."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from untorn import collect
from untorn.collect import Orders
from untorn.outcome import Collected
from untorn.root import Root

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"G2"})
MAY_FAIL: Final = frozenset({"O1"})
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_collect.py",
        id="G2.says_how_far_over_and_that_youth_protects",
        says="over_budget_bytes=0",
    ),
)

_collect_alone = collect._collect_alone


def factory() -> Reference:
    """The mutant, in a process of its own."""
    collect._collect_alone = _content
    return Reference()


def _content(root: Root, orders: Orders) -> Collected:
    return replace(_collect_alone(root, orders), over_budget_bytes=0)
