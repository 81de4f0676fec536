"""The reference without leases. Seeded bug: a lookup takes no lock on the entry that it hands out.

So collects evict under living readers. What a writer is given still holds, by the lock that its
staging was made under. Run it with ``--backend py:untorn_conformance.mutants.no_lease:factory``.
"""

from __future__ import annotations

from typing import Final

from untorn import lookup

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Search, Shown

KILLS: Final = frozenset({"R4"})
"""The rows that must fail."""

MAY_FAIL: Final = frozenset({"R1", "G2", "G9", "E2"})
"""The rows that may fail too, since what they judge rests on the hold."""
SHOWN_BY: Final[Shown] = (
    Case(file="test_read.py", id="R4.what_a_writer_was_given_stays[adopted]", says="Evicted"),
    Search(
        scenario="reader-collector",
        preemptions=1,
        row="R4",
        rule="lost-while-held",
        says="though it held them",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    lookup._share = _go_without
    return Reference()


def _go_without(fd: int) -> bool:
    """Say of a directory that its lock was taken."""
    del fd
    return True
