"""The reference with a reaper that goes by age. Seeded bug: nobody asks whether a writer lives."""

from __future__ import annotations

import os
from typing import Final

from untorn import reap
from untorn.lookup import NS
from untorn.root import Root

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"G4"})
MAY_FAIL: Final = frozenset({"C5"})
SHOWN_BY: Final[Shown] = (
    Case(file="test_collect.py", id="G4.leaves_a_live_writers_staging[stopped]", says="reaped=1"),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    reap._lock_dead = _is_old
    return Reference()


def _is_old(root: Root, name: str, fd: int, grace_s: float, now_s: float) -> int | None:
    del root, name
    status = os.fstat(fd)
    return None if -grace_s <= now_s - status.st_mtime_ns / NS < grace_s else status.st_ino
