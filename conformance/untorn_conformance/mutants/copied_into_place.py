"""The reference with a publish of many steps. Seeded bug: no rename of the whole.

The entry's directory is made in its place, and the staged files are moved there one by one, the
manifest last; the hold begins when all is there. What another writer finds meanwhile is incomplete
and nobody's, so it is taken for a ruin.
"""

from __future__ import annotations

import os
from typing import Final

from untorn import publish, syscalls
from untorn.lease import Claim
from untorn.staging import Staging

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Search, Shown

KILLS: Final = frozenset({"P2"})
MAY_FAIL: Final = frozenset({"P1", "P3", "R1", "R2"})
SHOWN_BY: Final[Shown] = (
    Search(
        scenario="writer-writer",
        preemptions=1,
        row="P2",
        rule="winners",
        says="told published: wB, wA",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    publish._rename = _move_one_by_one
    return Reference()


def _move_one_by_one(staging: Staging) -> OSError | None:
    root, key = staging.root, staging.key
    try:
        os.mkdir(key, 0o700, dir_fd=root.entries_fd)
        for name in sorted(os.listdir(staging.fd)):
            os.rename(
                f"{staging.name}/{name}",
                f"{key}/{name}",
                src_dir_fd=root.staging_fd,
                dst_dir_fd=root.entries_fd,
            )
        claim = Claim(os.open(key, syscalls.DIRECTORY_FLAGS, dir_fd=root.entries_fd))
        syscalls.lock_shared(claim.fd)
        os.rmdir(staging.name, dir_fd=root.staging_fd)
    except OSError as error:
        return error
    staging.claim.release()
    staging.claim = claim
    return None
