"""The reference that needs inodes to be counted. Seeded bug: a disk that counts none has none."""

from __future__ import annotations

import os
from typing import Final

from untorn import space
from untorn.root import Root
from untorn.space import Need

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"D4"})
MAY_FAIL: Final[frozenset[str]] = frozenset()
SHOWN_BY: Final[Shown] = (
    Case(file="test_degrade_extract.py", id="D4.where_inodes_are_not_counted", says="UNCACHED"),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    space.missing = _missing
    return Reference()


def _missing(root: Root, need: Need) -> Need | None:
    short = _as_reviewed(root, need) or Need(0, 0)
    free = os.fstatvfs(root.entries_fd).f_favail
    files = max(short.files, need.files - free)
    return Need(short.size, files) if short.size or files > 0 else None


_as_reviewed = space.missing
