"""Fault sites per second: a lone writer of the reference, one call of which is made to fail.

sites  drawn from all (call, errno, once or from then on) of one publish; each is run, its
       operations judged, and what it left looked at by fresh workers
floor  the same tree restored and the same worker started, who works, held by nobody
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

from untorn_stress.explore import Budget
from untorn_stress.explorer import Exploration
from untorn_stress.grain import Grain
from untorn_stress.scenarios import scenario
from untorn_stress.schedulers.fail_nth import FailNth

from untorn_conformance.bench.explore_rate import unheld
from untorn_conformance.bench.explore_site import (
    REFERENCE,
    MeasureError,
    Site,
    laboratory,
    one_core,
    pinned,
)
from untorn_conformance.bench.row import Row, Unit, measured
from untorn_conformance.bench.timing import interleave

_SEED: Final = 1901
_WHAT: Final = "fault sites of a lone writer, the reference"
_FLOOR: Final = "the same worker, held by nobody"


def measure(site: Site) -> list[Row]:
    """One rate. Raises MeasureError where nothing fails, or what fails is not met."""
    site.say(f"fault sites of one writer, {site.plan.memory_runs} a turn")
    played = scenario("failing-publish")
    with pinned(), ExitStack() as stack:
        lab = stack.enter_context(laboratory(site, REFERENCE, grain=Grain.DATA))
        start = lab.natural(played.tree)

        def turn() -> Sequence[float]:
            scheduler = FailNth(runs=site.plan.memory_runs, seed=_SEED)
            explored = Exploration(
                lab, played, start, scheduler, described="fail_nth", budget=Budget(), errnos=True
            ).run()
            if explored.found or explored.undecided or scheduler.missed or not scheduler.sites:
                said = explored.undecided or f"{len(explored.found)} findings"
                raise MeasureError(f"not every fault was met and survived: {said}")
            return [explored.runs / explored.seconds]

        floor = unheld(lab, played, start, site.plan.starts, stack)
        samples = interleave({_WHAT: turn, _FLOOR: floor}, site.plan.rounds)
    note = f"all on processor {one_core()}; calls on data too; ratio below 1: slower"
    return [measured(_WHAT, Unit.PER_S, samples[_WHAT], floor=(_FLOOR, samples[_FLOOR]), note=note)]
