"""A storm of collects: every collector evicts all that it may, again and again, without pause."""

from __future__ import annotations

import time
from random import Random
from typing import Final

from untorn_conformance.history import Excuse

from untorn_stress.storm.nemesis.protocol import Blow, Field


class CollectBurst:
    """Orders so many collects with a budget of nothing. Collects are operations: no excuse."""

    name: Final = "gc-storm"
    lasts_s: Final = 0.5
    excuses: Final[tuple[Excuse, ...]] = ()

    def cannot(self, field: Field) -> str:
        """It needs collectors."""
        return "" if field.has_role("collector") else "there is no collector (--workers)"

    def strike(self, field: Field, dice: Random) -> Blow | None:
        """Order the burst; it bit if entries were evicted."""
        collectors = list(field.living("collector"))
        if not collectors:
            return None
        begin_ns = time.monotonic_ns()
        count = dice.randint(5, 30)
        for each in collectors:
            each.part.burst = count
        return Blow(
            name=self.name,
            excuses=self.excuses,
            begin_ns=begin_ns,
            over=lambda: not any(each.part.burst for each in field.living("collector")),
            proof=lambda: field.evicted_since(begin_ns) > 0,
            detail=f"{count} collects by each of {len(collectors)}",
            processes=tuple(each.name for each in collectors),
        )
