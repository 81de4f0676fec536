"""The reference that expects a place to be taken. Seeded bug: a rename has no other errno."""

from __future__ import annotations

import errno
from typing import Final

from untorn import publish
from untorn.staging import Staging

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"N2"})
MAY_FAIL: Final = frozenset({"D2", "P5"})
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_errnos.py",
        id="N2.the_publishing_rename_may_fail[failing-publish]",
        says="ended in an error",
    ),
)

_rename = publish._rename


def factory() -> Reference:
    """The mutant, in a process of its own."""
    publish._rename = _rename_or_die
    return Reference()


def _rename_or_die(staging: Staging) -> OSError | None:
    refusal = _rename(staging)
    if refusal is not None and refusal.errno not in (errno.EEXIST, errno.ENOTEMPTY):
        raise RuntimeError(f"this cannot be: {refusal}")
    return refusal
