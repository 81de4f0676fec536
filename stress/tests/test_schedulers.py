"""The schedulers that do not search (replay, pct, uniform, twice), and what notices disorder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import pytest
from untorn_stress.explore import Budget, Search, Stopped, System
from untorn_stress.schedulers.dfs_bounded import BoundedDfs
from untorn_stress.schedulers.dfs_unbounded import UnboundedDfs
from untorn_stress.schedulers.pct import Pct
from untorn_stress.schedulers.protocol import (
    Ending,
    Footprint,
    Moment,
    NondeterminismError,
    Option,
    ScheduleMismatchError,
    Scheduler,
)
from untorn_stress.schedulers.replay import Replay
from untorn_stress.schedulers.twice import Twice
from untorn_stress.schedulers.uniform import Uniform
from untorn_stress.toy_programs import random_program
from untorn_stress.toys import Act, Fault, Program, ToyResult, ToyStep, ToySystem

X = Footprint(writes=frozenset({"x"}))


def step(kind: Act, variable: str = "x", value: int = 1, *faults: Fault) -> ToyStep:
    return ToyStep(kind=kind, variable=variable, value=value, faults=faults)


def drive(system: System[ToyResult], scheduler: Scheduler) -> list[ToyResult]:
    """All the scheduler's runs."""
    return list(Search(system, scheduler, Budget()))


# --- replay ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(60))
def test_each_recorded_schedule_replays_to_the_same_end(seed: int) -> None:
    system = ToySystem(random_program(seed))
    for result in drive(system, BoundedDfs(preemptions=1, faults=1)):
        if not result.ending.cut:
            assert drive(system, Replay(result.labels)) == [result]


WRITERS = ToySystem(Program(actors=((step(Act.WRITE),) * 2, (step(Act.WRITE),) * 2)))


def test_a_replay_goes_on_with_whoever_moved_last() -> None:
    assert drive(WRITERS, Replay(["B"]))[0].labels == ("B", "B", "A", "A")


def test_a_replay_of_nothing_begins_with_the_first_actor() -> None:
    assert drive(WRITERS, Replay([]))[0].labels == ("A", "A", "B", "B")


def test_a_replay_takes_no_fault_of_its_own() -> None:
    system = ToySystem(Program(actors=((step(Act.WRITE, "x", 1, Fault.EIO),) * 2,)))
    assert drive(system, Replay(["A!EIO"]))[0].labels == ("A!EIO", "A")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["A", "C"], "step 1: the schedule wants C, on offer: A, B"),
        (["A!EIO"], "step 0: the schedule wants A!EIO, on offer: A, B"),
        (["A", "B", "B", "A", "A"], "step 4: the schedule wants A, on offer: nothing"),
    ],
)
def test_a_schedule_that_does_not_fit_is_refused(labels: list[str], said: str) -> None:
    with pytest.raises(ScheduleMismatchError, match=said):
        drive(WRITERS, Replay(labels))


# --- pct ------------------------------------------------------------------------------------------

PADDING = (step(Act.WRITE, "y"),) * 3
BETWEEN = ToySystem(
    Program(
        actors=(
            (*PADDING, step(Act.WRITE, "x", 1), step(Act.WRITE, "x", 2), *PADDING),
            (*PADDING, step(Act.READ, "x")),
        )
    )
)


def saw_between(result: ToyResult) -> bool:
    """Whether B read between A's two writes: a bug of depth 2."""
    return "B r=1 " in result.ending.outcome


def test_pct_finds_a_bug_of_depth_two_at_least_as_often_as_it_says() -> None:
    scheduler = Pct(seed=1, runs=800, depth=2)
    hits = [saw_between(result) for result in drive(BETWEEN, scheduler)[1:]]
    assert sum(hits) / len(hits) >= scheduler.probability


def test_pct_learns_how_many_take_part_and_how_many_choices_there_are() -> None:
    scheduler = Pct(seed=1, runs=50)
    drive(WRITERS, scheduler)
    assert (scheduler.actors, scheduler.steps) == (2, 3)
    assert Fraction(scheduler.probability).limit_denominator(100) == Fraction(1, 6)


def test_pct_says_what_its_runs_are_worth() -> None:
    scheduler = Pct(seed=1, runs=50)
    assert "nothing is known" in scheduler.guarantee
    drive(WRITERS, scheduler)
    assert "2 actors and 3 choices a run" in scheduler.guarantee
    assert "1/6 or more; 26 runs find it with 99%" in scheduler.guarantee


def test_pct_of_depth_one_never_preempts() -> None:
    found = {result.labels for result in drive(WRITERS, Pct(seed=3, runs=30, depth=1))}
    assert found == {("A", "A", "B", "B"), ("B", "B", "A", "A")}


def test_pct_lets_another_move_while_one_waits_for_time() -> None:
    poll = (step(Act.PAUSE, ""), step(Act.READ))
    system = ToySystem(Program(actors=(poll, (step(Act.WRITE),) * 3)))
    for result in drive(system, Pct(seed=5, runs=20, depth=1)):
        assert result.labels == ("B", "B", "B", "A", "A")


def test_pct_refuses_a_bug_of_no_depth() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Pct(seed=1, runs=1, depth=0)


# --- what is drawn --------------------------------------------------------------------------------

Draw = Callable[[int], Scheduler]
DRAWN: list[Draw] = [
    lambda seed: Pct(seed=seed, runs=20, depth=3),
    lambda seed: Uniform(seed=seed, runs=20, faults=1),
]


@pytest.mark.parametrize("draw", DRAWN, ids=["pct", "uniform"])
def test_the_same_seed_draws_the_same_runs(draw: Draw) -> None:
    assert drive(BETWEEN, draw(7)) == drive(BETWEEN, draw(7))
    assert drive(BETWEEN, draw(7)) != drive(BETWEEN, draw(8))


@pytest.mark.parametrize("faults", [0, 1, 2])
def test_uniform_keeps_to_its_budget_of_faults(faults: int) -> None:
    system = ToySystem(Program(actors=((step(Act.WRITE, "x", 1, Fault.EIO),) * 4,)))
    runs = drive(system, Uniform(seed=2, runs=60, faults=faults))
    assert max(result.labels.count("A!EIO") for result in runs) == faults


def test_uniform_reaches_every_schedule_of_a_small_program() -> None:
    found = {result.labels for result in drive(WRITERS, Uniform(seed=4, runs=200))}
    assert len(found) == 6


# --- disorder -------------------------------------------------------------------------------------


Changed = tuple[tuple[ToyStep, ...], tuple[ToyStep, ...]]


@dataclass
class Unruly:
    """Two actors of three steps; every other run is ``changed``."""

    changed: Changed
    runs: int = 0

    def run(self, choose: Callable[[Moment], Option | None]) -> ToyResult:
        self.runs += 1
        actors = (STEADY, STEADY) if self.runs % 2 else self.changed
        return ToySystem(Program(actors=actors)).run(choose)


STEADY = (step(Act.WRITE),) * 3
UNRULY: dict[str, Changed] = {
    "a shorter actor": (STEADY, STEADY[1:]),
    "another footprint": ((step(Act.WRITE, "z"),) * 3, STEADY),
    "no other actor": (STEADY, ()),
    "an early end": (STEADY[2:], ()),
}


@pytest.mark.parametrize("changed", UNRULY.values(), ids=UNRULY)
def test_twice_notices_a_system_that_does_not_repeat_itself(changed: Changed) -> None:
    with pytest.raises(NondeterminismError):
        drive(Unruly(changed), Twice(Uniform(seed=1, runs=1)))


def test_twice_makes_each_run_of_the_other_scheduler_two_times() -> None:
    once = drive(WRITERS, BoundedDfs(preemptions=1))
    twice = drive(WRITERS, Twice(BoundedDfs(preemptions=1)))
    assert twice == [result for result in once for _ in range(2)]


def test_twice_notices_another_outcome_of_the_same_steps() -> None:
    scheduler = Twice(Replay(["A"]))
    for outcome in ("one", "other"):
        scheduler.begin()
        scheduler.choose(Moment(0, (Option("A", X),)))
        ending = Ending(None, cut=False, outcome=outcome)
        if outcome == "one":
            scheduler.end(ending)
    with pytest.raises(NondeterminismError, match="the run ended with"):
        scheduler.end(ending)


# A step that is missing after the prefix is for twice to notice: a search repeats its prefix only.
@pytest.mark.parametrize("kind", ["another footprint", "no other actor", "an early end"])
def test_a_bounded_search_notices_that_its_prefix_leads_elsewhere(kind: str) -> None:
    search = BoundedDfs(preemptions=2)
    with pytest.raises(NondeterminismError):
        drive(Unruly(UNRULY[kind]), search)
    assert not search.exhaustive


@pytest.mark.parametrize("kind", ["no other actor", "an early end"])
def test_an_unbounded_search_notices_that_its_path_leads_elsewhere(kind: str) -> None:
    search = UnboundedDfs()
    with pytest.raises(NondeterminismError):
        drive(Unruly(UNRULY[kind]), search)
    assert not search.exhaustive


def test_a_search_cut_short_says_how_far_it_came() -> None:
    search = BoundedDfs(preemptions=3)
    seen = []
    while search.begin():
        seen.append((search.completed, search.bound))
        search.end(WRITERS.run(search.choose).ending)
    assert seen[0] == (-1, 0)
    assert seen == sorted(seen)
    assert all(completed == bound - 1 for completed, bound in seen)
    assert (search.completed, search.exhaustive) == (3, True)


# --- budgets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: BoundedDfs(preemptions=2), UnboundedDfs])
def test_a_budget_that_is_just_enough_stops_no_search(make: Callable[[], Scheduler]) -> None:
    enough = len(drive(WRITERS, make()))
    for runs, stopped in ((enough, Stopped.DONE), (enough - 1, Stopped.BUDGET)):
        scheduler = make()
        search = Search(WRITERS, scheduler, Budget(runs=runs))
        assert len(list(search)) == runs
        assert search.progress.stopped is stopped
        assert scheduler.exhaustive is (stopped is Stopped.DONE)  # type: ignore[attr-defined]
