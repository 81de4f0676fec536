"""The reference that repairs directories alone. Seeded bug: a file in an entry's place stays."""

from __future__ import annotations

import errno
from typing import Final

from untorn import publish
from untorn.outcome import Failure, Step
from untorn.root import Root

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"P4"})
MAY_FAIL: Final = frozenset({"S3"})
SHOWN_BY: Final[Shown] = (
    Case(file="test_publish.py", id="P4.a_damaged_entry_is_replaced[stray-file]", says="ENOTDIR"),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    publish._unlink = _leave
    return Reference()


def _leave(root: Root, key: str) -> Failure:
    del root
    return Failure.of(NotADirectoryError(errno.ENOTDIR, "no directory", key), Step.REPAIR)
