"""The reference that trusts its group. Seeded bug: a root that the group may write to is used."""

from __future__ import annotations

from typing import Final

from untorn import root

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"S1"})
MAY_FAIL: Final[frozenset[str]] = frozenset()
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_security.py",
        id="S1.refuses_an_explicit_root[writable_by_group]",
        says="is_refused",
    ),
)

_WRITABLE_BY_ALL: Final = 0o002


def factory() -> Reference:
    """The mutant, in a process of its own."""
    root._WRITABLE_BY_OTHERS = _WRITABLE_BY_ALL
    return Reference()
