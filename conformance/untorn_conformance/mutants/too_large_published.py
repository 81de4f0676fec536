"""The reference that publishes what can never stay. Seeded bug: an entry is not held to the budget.

So the others are evicted to make room for one that has none.
"""

from __future__ import annotations

from typing import Final

from untorn import publish, staging, writing
from untorn.frames import Frames
from untorn.outcome import Failure, Miss
from untorn.publish import Adopted
from untorn.staging import Staging
from untorn.writing import StagingArea

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"G14"})
MAY_FAIL: Final[frozenset[str]] = frozenset()
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_collect.py",
        id="G14.an_entry_larger_than_the_budget_evicts_no_other",
        says="== 'abc'",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    vars(writing)["StagingArea"] = _Unmeasured
    return Reference()


class _Unmeasured(StagingArea):
    def _publish(self, work: Staging, miss: Miss | None) -> Frames:
        sealed = staging.seal(work, self._access.settings, self._access.clock())
        outcome = publish.publish(work, self._access.policy())
        if isinstance(outcome, Failure):
            return self._unpublished(outcome, miss, sealed)
        if isinstance(outcome, Adopted):
            return self._adopted(work, outcome, miss)
        return self._published(work, sealed, outcome, miss)
