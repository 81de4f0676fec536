"""The reference with a lookup that trusts its descriptor. Seeded bug: step R3 is left out.

Between the opening of an entry and the lock on it a collector can rename it into the trash; the
lock is then granted on what is being deleted.
"""

from __future__ import annotations

import os
from typing import Final

from untorn import lookup, syscalls
from untorn.lease import Claim
from untorn.root import Root

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Search, Shown

KILLS: Final = frozenset({"R4"})
MAY_FAIL: Final = frozenset({"G9", "R1", "R6"})
SHOWN_BY: Final[Shown] = (
    Search(
        scenario="reader-collector",
        preemptions=3,
        row="R4",
        rule="lost-while-held",
        says="though it held them",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    lookup._lock_current = _lock_opened
    return Reference()


def _lock_opened(root: Root, key: str) -> tuple[Claim, os.stat_result] | None:
    """R1 and R2: a claim on what the path led to when it was opened."""
    claim = Claim(os.open(key, syscalls.DIRECTORY_FLAGS, dir_fd=root.entries_fd))
    try:
        if lookup._share(claim.fd):
            return claim, os.fstat(claim.fd)
    except BaseException:
        claim.release()
        raise
    claim.release()
    return None
