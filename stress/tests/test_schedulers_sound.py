"""No reduction loses an outcome, and the check of that would notice one that did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from math import comb, factorial, prod
from typing import Any

import pytest
from untorn_stress.explore import Budget, Search
from untorn_stress.schedulers.choices import may_go_on
from untorn_stress.schedulers.dfs_bounded import BoundedDfs
from untorn_stress.schedulers.dfs_unbounded import UnboundedDfs
from untorn_stress.schedulers.protocol import NOTHING, Executed, Footprint, Moment, Option
from untorn_stress.toy_programs import random_program
from untorn_stress.toys import Act, Fault, Program, ToyResult, ToyStep, ToySystem, outcomes

PARTS = 4
PROGRAMS = 1000 // PARTS
MOST_RUNS = 100  # a program with more schedules within the bound is left out for another
BOUND = 2

Costs = dict[str, int]


def cheapest(program: Program, scheduler: BoundedDfs, most_runs: int = 10**9) -> Costs | None:
    """Each outcome with the fewest preemptions that show it; None when there is too much to run."""
    system = ToySystem(program)
    found: Costs = {}
    while scheduler.begin():
        if scheduler.runs > most_runs:
            return None
        ending = system.run(scheduler.choose).ending
        scheduler.end(ending)
        if not ending.cut:
            found[ending.outcome] = min(scheduler.bound, found.get(ending.outcome, BOUND))
    assert scheduler.exhaustive
    return found


def plain(*, preemptions: int, faults: int) -> BoundedDfs:
    return BoundedDfs(preemptions=preemptions, faults=faults, pruning=False, idle_objects=False)


def compared(first_seed: int, count: int) -> Iterator[tuple[int, int, Program, Costs]]:
    """Programs with what the plain search finds, faults in every other one."""
    seed = first_seed
    for _ in range(count):
        expected = None
        while expected is None:
            program, faults = random_program(seed), seed % 2
            expected = cheapest(program, plain(preemptions=BOUND, faults=faults), MOST_RUNS)
            seed += 1
        yield seed - 1, faults, program, expected


@pytest.mark.parametrize("part", range(PARTS))
def test_bounded_reductions_lose_no_outcome_of_a_thousand_programs(part: int) -> None:
    for seed, faults, program, expected in compared(part * 10_000, PROGRAMS):
        pruned = BoundedDfs(preemptions=BOUND, faults=faults, idle_objects=False)
        assert cheapest(program, pruned) == expected, f"seed {seed}, pruning:\n{program}"
        both = BoundedDfs(preemptions=BOUND, faults=faults)
        assert cheapest(program, both) == expected, f"seed {seed}, idle objects:\n{program}"


@pytest.mark.parametrize("bound", [0, 1])
def test_a_lower_bound_finds_what_costs_no_more(bound: int) -> None:
    for seed, faults, program, expected in compared(50_000, 100):
        within = {outcome: cost for outcome, cost in expected.items() if cost <= bound}
        for search in (plain, BoundedDfs):
            found = cheapest(program, search(preemptions=bound, faults=faults))
            assert found == within, f"seed {seed}, {search}:\n{program}"


def some_outcomes(program: Program, scheduler: UnboundedDfs, most_runs: int) -> set[str] | None:
    system, found = ToySystem(program), set()
    while scheduler.begin():
        if scheduler.runs > most_runs:
            return None
        ending = system.run(scheduler.choose).ending
        scheduler.end(ending)
        if not ending.cut:
            found.add(ending.outcome)
    return found


@pytest.mark.parametrize("part", range(PARTS))
def test_sleep_sets_lose_no_outcome_of_tiny_programs(part: int) -> None:
    checked = 0
    for seed in range(part * 10_000, part * 10_000 + PROGRAMS):
        program, faults = random_program(seed, tiny=True), seed % 2
        expected = some_outcomes(program, UnboundedDfs(faults=faults, sleep_sets=False), MOST_RUNS)
        if expected is not None:
            checked += 1
            found = outcomes(program, UnboundedDfs(faults=faults))
            assert found == expected, f"seed {seed}:\n{program}"
    assert checked > PROGRAMS // 2


class CutWithoutLastActor(BoundedDfs):
    def _key(self, moment: Moment) -> Any:
        return super()._key(moment)._replace(last="")


class NothingReleased(BoundedDfs):
    def _release(self) -> None:
        pass


class UnderABound(UnboundedDfs):
    """Leaves out what would cost too many preemptions: another bounded search, if plain."""

    def __init__(self, *, preemptions: int, faults: int, sleep_sets: bool = True) -> None:
        super().__init__(faults=faults, sleep_sets=sleep_sets)
        self.limit = preemptions
        self.spent = 0

    def begin(self) -> bool:
        self.spent = 0
        return super().begin()

    def choose(self, moment: Moment) -> Option | None:
        last = moment.executed.actor if moment.executed else ""
        costs = may_go_on(moment.options, last)
        within = tuple(
            option
            for option in moment.options
            if option.actor == last or not costs or self.spent < self.limit
        )
        chosen = super().choose(moment._replace(options=within))
        self.spent += chosen is not None and costs and chosen.actor != last
        return chosen


def test_the_plain_bounded_search_finds_what_an_unbounded_one_finds_within_the_bound() -> None:
    for _, faults, program, expected in compared(90_000, 100):
        other = UnderABound(preemptions=BOUND, faults=faults, sleep_sets=False)
        assert outcomes(program, other) == set(expected)


@pytest.mark.parametrize("unsound", [CutWithoutLastActor, NothingReleased, UnderABound])
def test_an_unsound_reduction_is_noticed(unsound: Callable[..., Any]) -> None:
    for _, faults, program, expected in compared(0, PROGRAMS):
        for bound in (1, BOUND):
            within = {outcome for outcome, cost in expected.items() if cost <= bound}
            found = outcomes(program, unsound(preemptions=bound, faults=faults))
            assert found <= within
            if found < within:
                return
    pytest.fail("every outcome was found all the same")


class TimeAsleep(UnboundedDfs):
    """Takes a step that yields for one like any other."""

    def _notice_yields(self, options: Sequence[Option]) -> None:
        pass


def test_sleep_sets_that_forget_time_are_noticed() -> None:
    for seed in range(PROGRAMS):
        program = random_program(seed, tiny=True)
        expected = some_outcomes(program, UnboundedDfs(sleep_sets=False), MOST_RUNS)
        if expected is not None and outcomes(program, TimeAsleep()) < expected:
            return
    pytest.fail("every outcome was found all the same")


# --- the least programs that need each caution of the idle objects ------------------------------


class TimeForgotten(BoundedDfs):
    def _learn(self, executed: Executed | None, options: Iterable[Option]) -> None:
        super()._learn(executed, [option._replace(yielded=False) for option in options])


class OpaqueForgotten(BoundedDfs):
    def _learn(self, executed: Executed | None, options: Iterable[Option]) -> None:
        if executed is not None and executed.footprint.opaque:
            executed = executed._replace(footprint=NOTHING)
        known = [option for option in options if not option.footprint.opaque]
        super()._learn(executed, known)


class FaultForgotten(BoundedDfs):
    """Looks at the step that would be left only, not at the fault that may come in its place."""

    def _branch(self, moment: Moment, last: str, chosen: Option) -> None:
        super()._branch(moment, last, chosen)
        if self._undecided is not None:
            self._undecided = replace(self._undecided, instead=(chosen.footprint,))


def step(kind: Act, variable: str = "", value: int = 1, **more: Any) -> ToyStep:
    return ToyStep(kind=kind, variable=variable, value=value, **more)


READ_X, OWN = step(Act.READ, "x"), step(Act.WRITE, "own B")
A_PRIVATE_STEP_IS_THE_TIME_THAT_PASSES = Program(
    actors=(
        (step(Act.WRITE, "x", 1), step(Act.PAUSE), step(Act.WRITE, "x", 2)),
        (READ_X, OWN, READ_X),
    )
)
NOBODY_KNOWS_WHAT_B_TOUCHES = Program(
    actors=(
        (step(Act.WRITE, "x", 1), step(Act.WRITE, "x", 2)),
        (step(Act.READ, "x", opaque=True),),
    )
)
A_DIES_HOLDING_A_LOCK_BEFORE_A_PRIVATE_STEP = Program(
    actors=(
        (step(Act.TRY, "m"), step(Act.WRITE, "own A", faults=(Fault.KILL,))),
        (OWN, step(Act.TRY, "m")),
    )
)


@pytest.mark.parametrize(
    ("program", "careless"),
    [
        (A_PRIVATE_STEP_IS_THE_TIME_THAT_PASSES, TimeForgotten),
        (NOBODY_KNOWS_WHAT_B_TOUCHES, OpaqueForgotten),
        (A_DIES_HOLDING_A_LOCK_BEFORE_A_PRIVATE_STEP, FaultForgotten),
    ],
    ids=["time", "opaque", "fault"],
)
def test_each_caution_of_the_idle_objects_saves_an_outcome(
    program: Program, careless: type[BoundedDfs]
) -> None:
    expected = outcomes(program, plain(preemptions=BOUND, faults=1))
    assert outcomes(program, BoundedDfs(preemptions=BOUND, faults=1)) == expected
    assert outcomes(program, careless(preemptions=BOUND, faults=1)) < expected


class SplitWrongly(ToySystem):
    """Takes what is written besides for something that nobody touched."""

    def run(self, choose: Callable[[Moment], Option | None]) -> ToyResult:
        besides = frozenset(step.also for actor in self.program.actors for step in actor)

        def less(footprint: Footprint) -> Footprint:
            return footprint._replace(writes=footprint.writes - besides)

        def choose_carelessly(moment: Moment) -> Option | None:
            done = moment.executed
            known = tuple(each._replace(footprint=less(each.footprint)) for each in moment.options)
            executed = done and done._replace(footprint=less(done.footprint))
            chosen = choose(moment._replace(options=known, executed=executed))
            return chosen and moment.options[known.index(chosen)]

        return super().run(choose_carelessly)


def test_a_thing_of_two_objects_is_written_in_both() -> None:
    """As a directory: who makes an entry changes its listing and its stat; B looks at one only."""
    make = step(Act.WRITE, "listing", 1, also="stat")
    program = Program(actors=((make, OWN), (step(Act.READ, "stat"), step(Act.READ, "stat"))))
    expected = outcomes(program, plain(preemptions=1, faults=0))
    assert outcomes(program, BoundedDfs(preemptions=1)) == expected
    search = Search(SplitWrongly(program), BoundedDfs(preemptions=1), Budget())
    assert {each.ending.outcome for each in search if not each.ending.cut} < expected


class Unforeseen(ToySystem):
    """Expects nothing of any step: only what was done tells what it touched."""

    def run(self, choose: Callable[[Moment], Option | None]) -> ToyResult:
        def choose_blindly(moment: Moment) -> Option | None:
            known = tuple(option._replace(footprint=NOTHING) for option in moment.options)
            chosen = choose(moment._replace(options=known))
            return chosen and moment.options[known.index(chosen)]

        return super().run(choose_blindly)


def test_a_step_that_did_more_than_expected_is_left_before_it_all_the_same() -> None:
    actors = ((step(Act.WRITE, "x", 1), step(Act.WRITE, "x", 2)), (READ_X,))
    system, search = Unforeseen(Program(actors=actors)), BoundedDfs(preemptions=1)
    found = {result.ending.outcome for result in Search(system, search, Budget())}
    assert {"x=2; A r=0 failed=0 done; B r=1 failed=0 done"} <= found


# --- counts ---------------------------------------------------------------------------------------


def straight(*lengths: int, shared: bool = False) -> Program:
    """Actors that only write, each its own variable or all of them one."""
    return Program(
        actors=tuple(
            (ToyStep(kind=Act.WRITE, variable="x" if shared else f"own {actor}"),) * length
            for actor, length in enumerate(lengths)
        )
    )


def runs_of(program: Program, scheduler: Any) -> tuple[int, int]:
    """How many runs were whole, and how many cut."""
    outcomes(program, scheduler)
    assert scheduler.exhaustive
    return scheduler.runs - scheduler.cut, scheduler.cut


@pytest.mark.parametrize("lengths", [(1, 1), (3, 4), (5, 2), (2, 2, 2), (1, 3, 2)])
def test_an_unreduced_search_makes_as_many_runs_as_there_are_interleavings(
    lengths: tuple[int, ...],
) -> None:
    multinomial = factorial(sum(lengths)) // prod(map(factorial, lengths))
    plain_search = UnboundedDfs(sleep_sets=False)
    assert runs_of(straight(*lengths), plain_search) == (multinomial, 0)


def schedules_within(n: int, m: int, preemptions: int) -> int:
    """Schedules of two actors with n and m steps and at most so many preemptions.

    One of k blocks has k - 1 switches, of which the last leaves an actor that is done: so it has
    k - 2 preemptions. n steps fall into b blocks in C(n - 1, b - 1) ways, and whoever begins has
    the odd block.
    """
    total = 0
    for blocks in range(2, preemptions + 3):
        more, fewer = (blocks + 1) // 2, blocks // 2
        total += comb(n - 1, more - 1) * comb(m - 1, fewer - 1)
        total += comb(m - 1, more - 1) * comb(n - 1, fewer - 1)
    return total


@pytest.mark.parametrize("preemptions", range(5))
@pytest.mark.parametrize("lengths", [(1, 1), (1, 5), (3, 4), (6, 6)])
def test_an_unreduced_bounded_search_makes_as_many_runs_as_the_formula_says(
    lengths: tuple[int, int], preemptions: int
) -> None:
    search = plain(preemptions=preemptions, faults=0)
    expected = (schedules_within(*lengths, preemptions), 0)
    assert runs_of(straight(*lengths, shared=True), search) == expected


def test_a_bound_that_excludes_nothing_gives_the_multinomial_coefficient() -> None:
    assert schedules_within(4, 3, 99) == comb(7, 3)


def test_sleep_sets_make_one_run_of_independent_actors() -> None:
    whole, _ = runs_of(straight(3, 3, 2), UnboundedDfs())
    assert whole == 1


def test_idle_objects_leave_independent_actors_only_the_order_of_their_turns() -> None:
    whole, cut = runs_of(straight(5, 5), BoundedDfs(preemptions=4))
    assert (whole, cut) == (2, 0)


def test_conflicting_actors_are_not_reduced() -> None:
    program = straight(3, 3, shared=True)
    assert runs_of(program, UnboundedDfs()) == (comb(6, 3), 0)


def test_a_wait_for_time_starts_the_unbounded_search_anew_once() -> None:
    pause, write = ToyStep(kind=Act.PAUSE), ToyStep(kind=Act.WRITE, variable="x")
    search = UnboundedDfs()
    outcomes(Program(actors=((pause, write), (write, write))), search)
    assert (search.restarts, search.exhaustive) == (1, True)
