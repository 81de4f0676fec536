"""Memory of a sweep and of lookups, each in a process of its own."""

from __future__ import annotations

from pathlib import Path

from untorn import derive_key

from untorn_conformance.bench import crowd, population
from untorn_conformance.bench.plan import FULL_ENTRIES, Ground
from untorn_conformance.bench.row import Goal, Of, Row, Unit, measured
from untorn_conformance.bench.timing import Samples

_SWEEP_GOAL = Goal(Of.MEDIAN, 150)
_STEADY_GOAL = Goal(Of.MEDIAN, 1)  # what "without growth" is taken to mean


def measure(ground: Ground, populated: dict[int, Path]) -> list[Row]:
    """Both rows about memory."""
    count = max(populated)
    ground.say(f"memory of a sweep of {count} entries, and of many lookups")
    return [_sweep(ground, count, populated[count]), _steady(ground)]


def _sweep(ground: Ground, count: int, root: Path) -> Row:
    grown = [crowd.run("sweep", str(root))[0] for _ in range(ground.plan.heavy_rounds)]
    goal = _SWEEP_GOAL if count == FULL_ENTRIES else None
    return measured(
        f"memory of a sweep of {count} entries", Unit.MB, Samples(tuple(grown)), goal=goal,
        note="growth of VmHWM over a fresh process that has the cache open",
    )  # fmt: skip


def _steady(ground: Ground) -> Row:
    home = ground.fresh("memory")
    key = derive_key("bench", "memory")
    with population.open_cache(home) as cache:
        population.publish_entry(cache, key, ground.plan.frames, b"x")
    calls = ground.plan.steady_calls
    grown = crowd.run("steady_lookups", str(home), key, str(calls))
    return measured(
        f"memory of {calls} warm lookups", Unit.MB, Samples(tuple(grown)), goal=_STEADY_GOAL,
        note="growth of VmRSS after 1,000 lookups to warm up; without growth is taken as <= 1 MB",
    )  # fmt: skip
