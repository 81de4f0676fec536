"""The reference that evicts by an old list. Seeded bug: what was hit since the listing goes too."""

from __future__ import annotations

import os
from typing import Final

from untorn import collect
from untorn.collect import Listed, Tally
from untorn.root import Root

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"G15"})
MAY_FAIL: Final = frozenset({"G1"})
SHOWN_BY: Final[Shown] = (
    Case(file="test_collect_order.py", id="G15.an_entry_hit_during_the_sweep_stays", says="== []"),
)

_set_entry_aside = collect._set_entry_aside


def factory() -> Reference:
    """The mutant, in a process of its own."""
    collect._set_entry_aside = _whatever_its_recency
    return Reference()


def _whatever_its_recency(root: Root, entry: Listed, tally: Tally) -> str | None:
    try:
        now = os.stat(entry.key, dir_fd=root.entries_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return _set_entry_aside(root, entry._replace(mtime_ns=now.st_mtime_ns), tally)
