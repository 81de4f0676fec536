"""The reference that tidies up too early. Seeded bug: a failed publish removes the work."""

from __future__ import annotations

from typing import Final

from untorn import writing
from untorn.frames import Frames
from untorn.manifest import Manifest
from untorn.outcome import Failure, Miss
from untorn.writing import StagingArea

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"P5"})
MAY_FAIL: Final = frozenset({"D1", "D2", "E1", "F2", "L2", "N1", "N2", "P4", "S1"})
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_publish.py",
        id="P5.a_failed_publish_says_why_and_keeps_the_frames[nothing]",
        says="Evicted",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    vars(writing)["StagingArea"] = _Tidy
    return Reference()


class _Tidy(StagingArea):
    def _unpublished(
        self, failure: Failure, miss: Miss | None, sealed: Manifest | None = None
    ) -> Frames:
        frames = super()._unpublished(failure, miss, sealed)
        self.work.release()
        return frames
