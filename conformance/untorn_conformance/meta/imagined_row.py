"""The row of lone collects that an audit makes of an imagined cache, when all others are dead.

As `untorn_stress.storm.row` makes it of a real one: dry, with room for all, with room for a half,
down to nothing; then of what is young and lies in the future, and of what was used and what was
not. The entries are weighed before and after each, by what the cache really holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from untorn_conformance.history import OpOutcome, Seen
from untorn_conformance.meta.imagined_flaws import Flaw

if TYPE_CHECKING:
    from untorn_conformance.meta.imagined import Imagined, Stored

NS: Final = 1_000_000_000
DAY_S: Final = 86_400.0
HOUR_S: Final = 3_600.0
RESOLUTION_S: Final = 60.0
BYTES: Final = 10
YOUNG_S: Final = 60.0


class Row:
    """One row, asked by the process ``audit``."""

    def __init__(self, cache: Imagined) -> None:
        self.cache = cache
        self.shifted_s = 0.0
        self.version = 0

    def play(self) -> None:
        """Ask it all."""
        self.publish_all()
        self.collect(0, dry_run=True)
        self.collect(1000 * BYTES)
        self.collect(len(self.cache.stored) // 2 * BYTES)
        self.collect(0)
        self.publish_all()
        self.collect(0, YOUNG_S)
        self.shift(-DAY_S)
        self.collect(0, YOUNG_S)
        self.shift(DAY_S)
        self.publish_all()
        self.shift(HOUR_S)
        self.collect(0, dry_run=True)
        for key in self.cache.random.sample(self.cache.keys, len(self.cache.keys) // 2):
            self.look(key)
        self.collect(len(self.cache.stored) // 2 * BYTES)
        for key in self.cache.keys:
            self.look(key)

    # --- what it asks

    def ask(self, verb: str, outcome: OpOutcome, **said: Any) -> int:
        """One operation, and its answer a moment later."""
        cache = self.cache
        cache.now += 1_000_000
        op = {"id": len(cache.ops), "process": "audit", "verb": verb, "began_ns": cache.now}
        cache.now += 1_000_000
        cache.ops.append({**op, "ended_ns": cache.now, "outcome": outcome, **said})
        return len(cache.ops) - 1

    def publish_all(self) -> None:
        """Publish what is not there."""
        cache = self.cache
        for key in cache.keys:
            if key in cache.stored and not cache.stored[key].harmed:
                continue
            self.version += 1
            version = f"{key}.audit.{self.version}"
            staged = self.ask("stage", OpOutcome.STAGED, key=key, version=version)
            published = self.ask(
                "publish", OpOutcome.PUBLISHED, key=key, version=version, via=staged, files=3
            )
            cache.stored[key] = cache.new_entry(version)
            self.ask("release", OpOutcome.DONE, via=published)

    def look(self, key: str) -> None:
        """Look up, read, give up."""
        entry = self.cache.stored.get(key)
        if entry is None:
            self.ask("lookup", OpOutcome.MISS, key=key, reason="absent")
            return
        entry.used_ns = self.cache.now
        hit = self.ask("lookup", OpOutcome.HIT, key=key, files=3)
        seen = Seen(key=key, version=entry.version, index=0)
        self.ask("read", OpOutcome.READ, via=hit, index=0, seen=seen)
        self.ask("release", OpOutcome.DONE, via=hit)

    def shift(self, seconds: float) -> None:
        """Make all that is there older."""
        self.shifted_s += seconds
        for entry in self.cache.stored.values():
            entry.stamp_ns -= int(seconds * NS)
            entry.used_ns -= int(seconds * NS)

    def collect(self, budget: int, min_age_s: float = 0.0, *, dry_run: bool = False) -> None:
        """Collect, and weigh before and after."""
        stored = self.cache.stored
        stood = len(stored)
        gone = self.take(budget, min_age_s)
        if not dry_run or self.has(Flaw.TAKES_IN_DRY_RUN):
            for key in gone:
                del stored[key]
        left = stood - len(gone)
        over = max(0, left * BYTES - budget)
        self.ask(
            "collect",
            OpOutcome.COLLECTED,
            numbers={
                "budget_bytes": budget,
                "min_age_s": min_age_s,
                **({"dry_run": 1.0} if dry_run else {}),
                "evicted": len(gone) - (bool(gone) and self.has(Flaw.COUNTS_TOO_FEW)),
                "freed_bytes": len(gone) * BYTES - (bool(gone) and self.has(Flaw.FREES_TOO_LITTLE)),
                "over_budget_bytes": 0 if self.has(Flaw.KEEPS_QUIET) else over,
                "protected": float(over > 0 and not self.has(Flaw.HIDES_WHAT_PROTECTS)),
                "shifted_s": self.shifted_s,
                "stood": stood,
                "stood_bytes": stood * BYTES,
                "stayed": len(stored),
                "stayed_bytes": len(stored) * BYTES,
            },
        )

    def has(self, flaw: Flaw) -> bool:
        """Whether the cache is broken so."""
        return self.cache.flaw is flaw

    def take(self, budget: int, min_age_s: float) -> list[str]:
        """The keys that go: least recently used first, until the rest is within the budget."""
        stored = self.cache.stored
        latest_first = self.has(Flaw.TAKES_THE_LATEST)
        listing = sorted(stored, key=lambda key: stored[key].used_ns, reverse=latest_first)
        gone: list[str] = []
        for key in listing:
            within = (len(stored) - len(gone)) * BYTES <= budget
            if within and not self.has(Flaw.TAKES_WITHIN_BUDGET):
                break
            if self.is_old(stored[key], min_age_s):
                gone.append(key)
        return gone

    def is_old(self, entry: Stored, min_age_s: float) -> bool:
        """Whether it may go; what lies in the future is as young as can be."""
        age_s = (self.cache.now - entry.stamp_ns) / NS
        if self.has(Flaw.TAKES_THE_FUTURE) and age_s < 0:
            return True
        return self.has(Flaw.TAKES_THE_YOUNG) or max(0.0, age_s) >= min_age_s
