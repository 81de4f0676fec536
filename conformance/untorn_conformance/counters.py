"""The names under which a backend reports what it counts [stats], so that cases can compare.

Counters are monotonic since ``open`` and count answers, not attempts. A backend may report others
besides. Families carry their reason after a dot: ``miss.absent``, ``unpublished.ENOSPC``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Counter(StrEnum):
    """Counters that stand alone (O1)."""

    HIT = "hit"
    PUBLISHED = "published"
    ADOPTED = "adopted"
    EVICTED = "evicted"
    FREED_BYTES = "freed_bytes"
    REAPED = "reaped"
    OVER_BUDGET_SWEEPS = "over_budget_sweeps"
    LEASE_REFUSED = "lease_refused"
    EVICTED_UNDER_READER = "evicted_under_reader"
    RE_EXTRACTED = "re_extracted"
    VERIFY_FAILED = "verify_failed"


class Family(StrEnum):
    """Counters by reason (O1).

    ``miss`` has the miss reasons; ``unpublished`` an errno's name or else the reason; ``degraded``
    and ``collect_skipped`` the backend's own causes; ``flight`` has led, followed and timed-out.
    """

    MISS = "miss"
    UNPUBLISHED = "unpublished"
    DEGRADED = "degraded"
    COLLECT_SKIPPED = "collect_skipped"
    FLIGHT = "flight"

    def of(self, reason: str) -> str:
        """The family's counter for a reason."""
        return f"{self.value}.{reason}"

    def total(self, counters: Mapping[str, int]) -> int:
        """All of the family together."""
        return sum(n for name, n in counters.items() if name.startswith(self.of("")))


def is_named(name: str) -> bool:
    """Whether a counter is one of those above, and so must equal the history."""
    return name in set(Counter) or name.partition(".")[0] in set(Family)
