"""The reference that forgets its past. Seeded bug: older generations are not reclaimed."""

from __future__ import annotations

from typing import Final

from untorn import collect
from untorn.collect import Orders, Tally
from untorn.root import Root

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"G6", "K4"})
MAY_FAIL: Final[frozenset[str]] = frozenset()
SHOWN_BY: Final[Shown] = (
    Case(file="test_collect.py", id="G6.reclaims_an_old_generation", says="lexists"),
    Case(file="test_key.py", id="K4.gc_reclaims_an_old_generation", says="not in"),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    collect._reclaim_generations = _pass_by
    return Reference()


def _pass_by(root: Root, orders: Orders, tally: Tally) -> None:
    del root, orders, tally
