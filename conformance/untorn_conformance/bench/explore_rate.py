"""Schedules per second: two real writers on one core, as a bounded search deals with them.

    schedules  the first of a search of writer-writer up to its own bound, judged as ever
    runs made  those of them that the two processes really ran; how the others go was foreseen
    floor      the same tree restored and the same two workers started, who work, held by nobody

Rule 1: each turn is a fresh search and deals with the same schedules as every other turn.
Rule 2: schedules that pruning cuts short count, since the search has dealt with them; how many were
        cut is said. A run that is foreseen is no run of two processes: those made are a row of
        their own, and the floor is theirs.
Rule 3: processor time is told beside the clock's: on a shared machine it is what stays the same.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import psutil
from untorn_stress.ensemble import Ensemble
from untorn_stress.explore import Budget
from untorn_stress.explorer import Exploration, Explored, bounded
from untorn_stress.gate.supervisor import Rules, Supervisor
from untorn_stress.gate.world import World
from untorn_stress.laboratory import Laboratory
from untorn_stress.player import Ledger, Player
from untorn_stress.scenario import Scenario
from untorn_stress.scenarios import scenario
from untorn_stress.start import Start
from untorn_stress.tree_restore import Restorer

from untorn_conformance.bench.explore_site import (
    REFERENCE,
    SPECIMENS,
    MeasureError,
    Site,
    laboratory,
    one_core,
    pinned,
)
from untorn_conformance.bench.row import Goal, Of, Row, Unit, measured
from untorn_conformance.bench.timing import Case, Samples, interleave

_GOAL = Goal(Of.RATE, 150)
_FLOOR = "the same two workers, held by nobody"
_SUBJECTS = {"the reference": REFERENCE, "the specimen": SPECIMENS["first_posted"]}


@dataclass(slots=True)
class _Kept:
    """What the turns of one search gave besides their rate."""

    explored: list[Explored] = field(default_factory=list)
    rates_made: list[float] = field(default_factory=list)
    rates_by_cpu: list[float] = field(default_factory=list)


def measure(site: Site) -> list[Row]:
    """Rates of both subjects, by the clock and by processor time."""
    site.say(f"schedules of two writers, {site.plan.runs} a turn, on processor {one_core()} alone")
    played = scenario("writer-writer")
    cases: dict[str, Case] = {}
    kept: dict[str, _Kept] = {}
    with pinned(), ExitStack() as stack:
        for name, backend in _SUBJECTS.items():
            lab = stack.enter_context(laboratory(site, backend))
            start = lab.natural(played.tree)
            kept[name] = _Kept()
            cases[name] = _searching(lab, played, start, site.plan.runs, kept[name])
            cases[f"{name}, {_FLOOR}"] = unheld(lab, played, start, site.plan.starts, stack)
        samples = interleave(cases, site.plan.rounds)
    return [row for name in _SUBJECTS for row in _rows(site, name, samples, kept[name])]


def _rows(site: Site, name: str, samples: dict[str, Samples], kept: _Kept) -> list[Row]:
    last = kept.explored[-1]
    what = f"schedules of writer-writer, {name}"
    note = (
        f"all on processor {one_core()}; the first {last.runs} schedules of the search of "
        f"{last.scheduler}: {last.made} runs made, the others foreseen; {last.cut} were cut as "
        "seen before"
    )
    doubts = {each.undecided or each.nondeterministic for each in kept.explored} - {""}
    if doubts:
        note += f"; UNKNOWN: {'; '.join(sorted(doubts))}"
    return [
        measured(what, Unit.PER_S, samples[name], goal=_GOAL, note=note),
        measured(
            f"runs made of them, {name}", Unit.PER_S,
            Samples(tuple(kept.rates_made[-site.plan.rounds :])),
            floor=(_FLOOR, samples[f"{name}, {_FLOOR}"]), note="ratio below 1: slower",
        ),
        measured(
            f"{what}, of processor time", Unit.PER_S,
            Samples(tuple(kept.rates_by_cpu[-site.plan.rounds :])),
            note="schedules by the seconds that supervisor, keeper and workers were running",
        ),
    ]  # fmt: skip


def _searching(lab: Laboratory, played: Scenario, start: Start, runs: int, kept: _Kept) -> Case:
    def turn() -> Sequence[float]:
        scheduler, described = bounded(played.preemptions)
        search = Exploration(
            lab, played, start, scheduler, described=described, budget=Budget(runs=runs)
        )
        before_s = processor_s()
        with _collecting_garbage():
            explored = search.run()
        used_s = processor_s() - before_s
        if not explored.runs:
            raise MeasureError(f"no schedule was made: {explored.undecided}")
        kept.explored.append(explored)
        kept.rates_made.append(explored.made / explored.seconds)
        kept.rates_by_cpu.append(explored.runs / used_s)
        return [explored.runs / explored.seconds]

    return turn


def processor_s() -> float:
    """The processor time that we, the keepers and what they have waited for have used."""
    own = sum(os.times()[:2])
    keepers = (child.cpu_times() for child in psutil.Process().children())
    return own + sum(
        each.user + each.system + each.children_user + each.children_system for each in keepers
    )


@contextmanager
def _collecting_garbage() -> Iterator[None]:
    """With Python's collector on, as it is when people explore; turns have it off."""
    gc.enable()
    try:
        yield
    finally:
        gc.disable()


def unheld(lab: Laboratory, played: Scenario, start: Start, runs: int, stack: ExitStack) -> Case:
    """The floor: everything that a schedule needs but for the schedule."""
    ensemble = stack.enter_context(workers(lab))
    restorer = Restorer(lab.root)

    def turn() -> Sequence[float]:
        began_s = time.perf_counter()
        for _ in range(runs):
            restorer.restore(start.tree)
            _play(lab, ensemble, played)
        return [runs / (time.perf_counter() - began_s)]

    return turn


def workers(lab: Laboratory) -> Ensemble:
    """Workers of the laboratory's backend at its root, with true locks."""
    return Ensemble(
        lab.subject.cast,
        root=str(lab.root),
        stderr=lab.folder / "stderr-bench",
        rules=Rules(),
        own_folders=f"{lab.folder / 'tmp'}/bench-",
    )


def _play(lab: Laboratory, ensemble: Ensemble, played: Scenario) -> None:
    """Let all programs run at once until each has had its answers."""
    ledger = Ledger()
    players: dict[str, Player] = {}
    supervisor = Supervisor(
        World(str(lab.root)), Rules(), lambda worker, line: players[worker.letter].hear(line)
    )
    try:
        for letter, program in zip(ensemble.letters, played.programs, strict=False):
            worker = ensemble.enter(letter, "bench")
            supervisor.add(worker)
            players[letter] = Player(worker, program(lab.payloads), ledger)
        for player in players.values():
            player.begin()
        supervisor.settle_until(lambda: all(each.current is None for each in players.values()))
    finally:
        for worker in supervisor.workers:
            ensemble.leave(worker, at_rest=players[worker.letter].current is None)
