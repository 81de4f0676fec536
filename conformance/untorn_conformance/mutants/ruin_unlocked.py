"""The reference with a hasty repair. Seeded bug: what was found damaged is removed by its name.

Nobody locks it or looks again, so between the look and the removal another's repair can land, and
is removed: the check-then-remove race of the specimens, in the reference's own words.
"""

from __future__ import annotations

import os
from typing import Final

from untorn import layout, publish
from untorn.lookup import Policy
from untorn.outcome import Miss
from untorn.root import Root
from untorn.trash import delete

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Search, Shown

KILLS: Final = frozenset({"P2"})
MAY_FAIL: Final = frozenset({"P3"})
SHOWN_BY: Final[Shown] = (
    Search(
        scenario="repair",
        preemptions=1,
        row="P2",
        rule="winners",
        says="told published: wB, wA; entries evicted: 0",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    publish._repair = _remove
    return Reference()


def _remove(root: Root, key: str, found: Miss, policy: Policy) -> bool:
    del found, policy
    target = layout.trash_name(key)
    try:
        os.rename(key, target, src_dir_fd=root.entries_fd, dst_dir_fd=root.trash_fd)
    except FileNotFoundError:
        return False
    delete(root.trash_fd, target)
    return True
