"""The reference whose collects end too soon. Seeded bug: one entry that is held ends the pass."""

from __future__ import annotations

from typing import Final

from untorn import collect
from untorn.collect import Listed, Tally
from untorn.root import Root

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"L3"})
MAY_FAIL: Final = frozenset({"G2", "G13", "R4"})
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_liveness.py",
        id="L3.a_stopped_holder_blocks_no_collect_of_others",
        says="evicted=",
    ),
)

_set_entry_aside = collect._set_entry_aside


def factory() -> Reference:
    """The mutant, in a process of its own."""
    collect._set_entry_aside = _until_one_is_held
    return Reference()


def _until_one_is_held(root: Root, entry: Listed, tally: Tally) -> str | None:
    if tally.protected["leased"]:
        tally.protected["unseen"] += 1
        return None
    return _set_entry_aside(root, entry, tally)
