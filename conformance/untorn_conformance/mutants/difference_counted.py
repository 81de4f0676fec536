"""The reference that counts by difference. Seeded bug: collects are not alone, and each counts all.

What is there is weighed before and after, with no lock that keeps another collector away.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from untorn import collect, upkeep
from untorn.accounting import Usage
from untorn.collect import Orders
from untorn.outcome import Collected, Skipped
from untorn.root import Root

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Search, Shown

KILLS: Final = frozenset({"G8"})
MAY_FAIL: Final = frozenset({"C3", "G6", "G7", "G13", "O1"})
SHOWN_BY: Final[Shown] = (
    Search(
        scenario="collector-collector",
        preemptions=1,
        row="G8",
        rule="counted-too-much",
        says="evicted entries were counted",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    vars(upkeep)["collect"] = _collect_beside_others
    return Reference()


def _collect_beside_others(root: Root, orders: Orders) -> Collected | Skipped:
    if not root.trust.locks or orders.dry_run:
        return collect.collect(root, orders)
    before = _stored(root)
    done = collect._collect_alone(root, orders)
    after = _stored(root)
    return replace(
        done, evicted=before.entries - after.entries, freed_bytes=before.size - after.size
    )


def _stored(root: Root) -> Usage:
    listing = collect._list_entries(root)
    return Usage(len(listing), sum(entry.size for entry in listing))
