"""The reference that gives up. Seeded bug: after one trouble with its root it stays uncached."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from untorn import cache
from untorn.access import Access

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"L2"})
MAY_FAIL: Final = frozenset({"D1", "D2", "D4", "E1", "N1", "N2", "P5", "R6", "S1"})
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_liveness.py",
        id="L2.after_a_read_only_root_everything_goes_on",
        says="Unpublished(",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    vars(cache)["Access"] = _Fused
    return Reference()


class _Fused(Access):
    def degrade(self, cause: str, detail: str) -> None:
        """Count, warn, and never try again."""
        super().degrade(cause, detail)
        self.settings = replace(self.settings, root=None)
