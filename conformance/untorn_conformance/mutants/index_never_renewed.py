"""The reference with an index in memory. Seeded bug: it is never made anew.

What is in the cache is listed at the first hit. From then on a process that is asked for what
others have published since says that there is nothing.
"""

from __future__ import annotations

from typing import Final

from untorn import lookup, syscalls
from untorn.lookup import Leased, Policy
from untorn.outcome import Miss, MissReason
from untorn.root import Root

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"R2"})
MAY_FAIL: Final = frozenset(
    {
        "C1",
        "C2",
        "C4",
        "D1",
        "F4",
        "G1",
        "G11",
        "G12",
        "G15",
        "K7",
        "L2",
        "L3",
        "O1",
        "P1",
        "P2",
        "P3",
        "P4",
        "R1",
        "R3",
        "R4",
        "R6",
        "T1",
        "T2",
        "T3",
    }
)
SHOWN_BY: Final[Shown] = (
    Case(file="test_read.py", id="R2.an_acknowledged_publish_is_hit_by_others", says="absent"),
)

_lease_entry = lookup.lease_entry
_index: set[str] = set()


class _Listing(Reference):
    """Its list is its process'."""

    def renew(self) -> bool:
        """As when this was made: nothing is listed yet."""
        _index.clear()
        return super().renew()


def factory() -> Reference:
    """The mutant, in a process of its own."""
    lookup.lease_entry = _lease_known
    return _Listing()


def _lease_known(root: Root, key: str, policy: Policy) -> Leased | Miss:
    if _index and key not in _index:
        return Miss(reason=MissReason.ABSENT)
    found = _lease_entry(root, key, policy)
    if isinstance(found, Leased) and not _index:
        _index.update(syscalls.names_below(root.entries_fd))
    return found
