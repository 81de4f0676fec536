"""The seed's cache as it was after its review (PR #1901 at b75a3d9e).

A writer whose second rename is refused adopts the entry that beat it, if that one is complete.
Everything else is ``seed_algorithm``: between the check for a sentinel and the removal of the
target a winner can still land, and is removed.

Facts: the review thread of heygen-com/hyperframes PR #1901, second round. Both reviewers describe
the recovery (extractionCache.ts, lines 189-232 there): ``adoptPublishedWinner`` before the removal
and after the failed retry; one of them adds the window that remains. The procedure is unchanged up
to v0.8.10 (lines 226-258 there).

Run it with ``--backend py:untorn_conformance.specimens.after_review:factory``.
"""

from __future__ import annotations

from untorn_conformance.specimens.removal import DeletionOrder
from untorn_conformance.specimens.seed_algorithm import Landing, Refusal, SeedAlgorithm, Work


class AfterReview(SeedAlgorithm):
    """The version that was merged."""

    name = "seed-after-review"
    version = "b75a3d9e"

    def after_second_refusal(self, work: Work, refusal: Refusal) -> Landing | Refusal:
        """Adopt a winner that landed since the removal, else report the refusal."""
        return Landing.ADOPTED if self.adopt(work) else refusal


def factory() -> AfterReview:
    """Removes in sorted order, as the seed's runtime does."""
    return AfterReview(DeletionOrder.SORTED)


def factory_reversed() -> AfterReview:
    """Removes in reversed order: the sentinel goes last."""
    return AfterReview(DeletionOrder.REVERSED)


def factory_as_listed() -> AfterReview:
    """Removes in the order in which the file system lists."""
    return AfterReview(DeletionOrder.AS_LISTED)
