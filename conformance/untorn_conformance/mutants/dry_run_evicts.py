"""The reference whose dry run is none. Seeded bug: what would be evicted, is."""

from __future__ import annotations

from typing import Final

from untorn import collect

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"G13"})
MAY_FAIL: Final = frozenset({"R2"})
SHOWN_BY: Final[Shown] = (
    Case(file="test_collect.py", id="G13.dry_run_changes_nothing", says="removed=frozenset({'v1/"),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    collect._count_only = collect._evict
    return Reference()
