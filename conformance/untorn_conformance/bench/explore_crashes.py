"""Crash states per second: what everybody's death leaves of the reference's own work, judged.

    judged     the distinct ones of every program, from the run that is copied to the verdict
    floor      the same trees put back, and for each a fresh worker that opens the root, and ends

Rule 1: each turn judges anew: nothing that an earlier turn looked at is known.
Rule 2: a state counts once, however many stops leave it. No stop is made again by SIGKILL here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from untorn_stress.crash_states import CrashStates, Judged
from untorn_stress.ensemble import JUDGE
from untorn_stress.laboratory import Laboratory
from untorn_stress.scenarios import scenario
from untorn_stress.tree import Tree
from untorn_stress.tree_restore import Restorer

from untorn_conformance.bench.explore_rate import processor_s, workers
from untorn_conformance.bench.explore_site import (
    REFERENCE,
    MeasureError,
    Site,
    laboratory,
    one_core,
    pinned,
)
from untorn_conformance.bench.row import Goal, Of, Row, Unit, measured
from untorn_conformance.bench.timing import Case, Samples, interleave

_GOAL = Goal(Of.RATE, 300)
_NEVER = 1_000_000_000
_FLOOR = "the tree put back and a fresh worker started, who does nothing"


@dataclass(slots=True)
class _Kept:
    """What the last turn judged, and the rates of all turns by processor time."""

    judged: list[Judged] = field(default_factory=list)
    rates_by_cpu: list[float] = field(default_factory=list)


def measure(site: Site) -> list[Row]:
    """The rate by the clock, beside its floor, and by processor time."""
    names = site.plan.crashing
    site.say(f"crash states of {', '.join(names)}, on processor {one_core()} alone")
    kept = _Kept()
    with pinned(), ExitStack() as stack:
        lab = stack.enter_context(laboratory(site, REFERENCE))
        cases: dict[str, Case] = {
            "judged": _judging(lab, names, kept),
            _FLOOR: _starting(lab, _trees(lab, names), stack),
        }
        samples = interleave(cases, site.plan.rounds)
    looks = sum(each.looks for each in kept.judged)
    stops = sum(each.stops for each in kept.judged)
    note = (
        f"{looks} distinct states of {stops} stops of {', '.join(names)}; for each a fresh worker "
        "that reads, publishes and reads, and one that collects; the runs that were copied count in"
    )
    return [
        measured(
            "crash states judged, the reference", Unit.PER_S, samples["judged"],
            floor=(_FLOOR, samples[_FLOOR]), goal=_GOAL, note=note,
        ),
        measured(
            "crash states judged, the reference, of processor time", Unit.PER_S,
            Samples(tuple(kept.rates_by_cpu[-site.plan.rounds :])),
            note="states by the seconds that supervisor, keeper and workers were running",
        ),
    ]  # fmt: skip


def _judging(lab: Laboratory, names: Sequence[str], kept: _Kept) -> Case:
    def turn() -> Sequence[float]:
        states = CrashStates(lab, sampled_every=_NEVER)
        played = [scenario(name) for name in names]
        began_s, used_s = time.perf_counter(), processor_s()
        kept.judged = [states.judge(each, lab.natural(each.tree)) for each in played]
        took_s, used_s = time.perf_counter() - began_s, processor_s() - used_s
        doubts = [text for each in kept.judged for text in each.doubts]
        if doubts:
            raise MeasureError(f"crash states: {doubts[0]}")
        looks = sum(each.looks for each in kept.judged)
        kept.rates_by_cpu.append(looks / used_s)
        return [looks / took_s]

    return turn


def _trees(lab: Laboratory, names: Sequence[str]) -> list[Tree]:
    """The distinct trees of all stops."""
    trees: dict[str, Tree] = {}
    for name in names:
        played = scenario(name)
        _, stops = lab.stops(lab.system(played, lab.natural(played.tree)))
        for each in stops:
            trees.setdefault(lab.digest(each.start.tree), each.start.tree)
    return list(trees.values())


def _starting(lab: Laboratory, trees: Sequence[Tree], stack: ExitStack) -> Case:
    """The floor: what no judge can do without."""
    ensemble = stack.enter_context(workers(lab))
    restorer = Restorer(lab.root)

    def turn() -> Sequence[float]:
        began_s = time.perf_counter()
        for tree in trees:
            restorer.restore(tree)
            ensemble.leave(ensemble.enter(JUDGE, "bench"), at_rest=True)
        return [len(trees) / (time.perf_counter() - began_s)]

    return turn
