"""The reference without its collectors' lock. Seeded bug: two collects work side by side.

Each entry is still evicted once, but one collector drains from the trash what the other was about
to weigh, and nobody counts it.
"""

from __future__ import annotations

from typing import Final

from untorn import collect, upkeep

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Search, Shown

KILLS: Final = frozenset({"G8"})
MAY_FAIL: Final = frozenset({"G7", "G12"})
SHOWN_BY: Final[Shown] = (
    Search(
        scenario="collector-collector",
        preemptions=1,
        row="G8",
        rule="bytes",
        says="freed bytes were counted",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    vars(upkeep)["collect"] = collect._collect_alone
    return Reference()
