"""The reference that looks after its own trash alone. Seeded bug: what the dead set aside stays."""

from __future__ import annotations

from typing import Final

from untorn import collect
from untorn.root import Root

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Deaths, Shown

KILLS: Final = frozenset({"C3", "C4"})
MAY_FAIL: Final = frozenset({"C1", "C2", "G7"})
SHOWN_BY: Final[Shown] = (
    Deaths(
        scenario="collect-alone",
        row="C3",
        rule="debris",
        says="a collect after the grace leaves",
    ),
    Deaths(
        scenario="collect-alone",
        after_crash=True,
        row="C4",
        rule="debris",
        says="a collect after the grace leaves",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    vars(collect)["drain"] = _leave
    return Reference()


def _leave(root: Root) -> int:
    del root
    return 0
