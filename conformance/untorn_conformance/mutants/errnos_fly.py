"""The reference that knows three errnos. Seeded bug: any other of a lookup flies to the caller."""

from __future__ import annotations

import errno
from typing import Final

from untorn import lookup
from untorn.outcome import Miss

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Search, Shown

KILLS: Final = frozenset({"D2"})
MAY_FAIL: Final = frozenset({"D1", "E1", "O1", "R6"})
SHOWN_BY: Final[Shown] = (
    Search(
        scenario="failing-lookup",
        preemptions=0,
        errnos=1,
        row="D2",
        rule="error",
        says="ended in an error",
    ),
)

_miss_of = lookup._miss_of
_KNOWN: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    lookup._miss_of = _miss_or_raise
    return Reference()


def _miss_or_raise(error: OSError) -> Miss:
    if error.errno not in _KNOWN:
        raise error
    return _miss_of(error)
