"""The seed's cache as it was first posted (PR #1901 at 299ec9d1).

A writer whose second rename is refused has lost and says so, even when the entry that beat it is
complete. Everything else is ``seed_algorithm``, the check-then-remove race included.

Facts: the review thread of heygen-com/hyperframes PR #1901, first round. The concern about the
recovery in ``publishCacheEntry`` (extractionCache.ts, lines 203-244 there) says: check for the
sentinel, remove, rename once more; the other reviewer's summary has its three branches, the last of
which leaves the work unpublished. The second round names what was missing: the adoption after a
failed retry. Assumed: the loser of the first rename removes its work, as it does after review.

Run it with ``--backend py:untorn_conformance.specimens.first_posted:factory``.
"""

from __future__ import annotations

from untorn_conformance.specimens.removal import DeletionOrder
from untorn_conformance.specimens.seed_algorithm import Landing, Refusal, SeedAlgorithm, Work


class FirstPosted(SeedAlgorithm):
    """The version that the first reviews are about."""

    name = "seed-first-posted"
    version = "299ec9d1"

    def after_second_refusal(self, work: Work, refusal: Refusal) -> Landing | Refusal:
        """Report the refusal, whatever is in the entry's place by now."""
        del work
        return refusal


def factory() -> FirstPosted:
    """Removes in sorted order, as the seed's runtime does."""
    return FirstPosted(DeletionOrder.SORTED)


def factory_reversed() -> FirstPosted:
    """Removes in reversed order: the sentinel goes last."""
    return FirstPosted(DeletionOrder.REVERSED)


def factory_as_listed() -> FirstPosted:
    """Removes in the order in which the file system lists."""
    return FirstPosted(DeletionOrder.AS_LISTED)
