"""A run that is foreseen goes as it would have gone, and a wrong foresight is noticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from untorn_stress import foresight
from untorn_stress.explore import Budget, Search
from untorn_stress.foresight import Foresight
from untorn_stress.schedulers.dfs_bounded import BoundedDfs
from untorn_stress.schedulers.dfs_unbounded import UnboundedDfs
from untorn_stress.schedulers.knowledge import Knowledge
from untorn_stress.schedulers.protocol import (
    NOTHING,
    Ending,
    Executed,
    Footprint,
    Moment,
    NondeterminismError,
    Option,
    Scheduler,
)
from untorn_stress.schedulers.replay import Replay
from untorn_stress.toy_programs import random_program
from untorn_stress.toys import Act, Program, ToyResult, ToyStep, ToySystem

PARTS = 4
PROGRAMS = 1000 // PARTS
FEW = 100
MOST_RUNS = 100
NEVER = 10**9
NONE: frozenset[str] = frozenset()


class Limited:
    """A scheduler that gives up programs with too many schedules."""

    def __init__(self, inner: BoundedDfs | UnboundedDfs) -> None:
        self.inner = inner

    def begin(self) -> bool:
        return self.inner.runs < MOST_RUNS and self.inner.begin()

    def choose(self, moment: Moment) -> Option | None:
        return self.inner.choose(moment)

    def end(self, ending: Any) -> None:
        self.inner.end(ending)


def shown(system: Any, scheduler: Scheduler) -> list[Ending]:
    """How each run ended, in order."""
    return [result.ending for result in Search(system, scheduler, Budget())]


def searches(seed: int) -> list[tuple[Program, Callable[[], Scheduler]]]:
    faults = seed % 2
    return [
        (random_program(seed), lambda: Limited(BoundedDfs(preemptions=2, faults=faults))),
        (random_program(seed, tiny=True), lambda: Limited(UnboundedDfs(faults=faults))),
    ]


@pytest.mark.parametrize("part", range(PARTS))
def test_a_search_of_a_thousand_programs_goes_the_same_way_with_foresight(part: int) -> None:
    made = runs = 0
    for seed in range(part * 10_000, part * 10_000 + PROGRAMS):
        for program, search in searches(seed):
            system = Foresight(ToySystem(program), check_every=NEVER)
            expected = shown(ToySystem(program), search())
            assert shown(system, search()) == expected, f"seed {seed}:\n{program}"
            made, runs = made + system.made, runs + len(expected)
    assert made < runs * 3 / 4


def test_what_was_foreseen_is_found_to_be_so_when_it_is_made() -> None:
    for seed in range(FEW):
        for program, search in searches(seed):
            shown(Foresight(ToySystem(program), check_every=1), search())


def straight(*lengths: int) -> Program:
    steps = [
        (ToyStep(kind=Act.WRITE, variable=f"own {actor}"),) * length
        for actor, length in enumerate(lengths)
    ]
    return Program(actors=tuple(steps))


def test_of_independent_actors_one_run_tells_all() -> None:
    """It tells that who moved last had ended and was not waiting, and what comes of all orders."""
    system = Foresight(ToySystem(straight(5, 5)), check_every=NEVER)
    endings = shown(system, BoundedDfs(preemptions=4, idle_objects=False))
    assert system.made == 1
    assert system.foreseen == len(endings) - 1 > 20


def test_what_was_taken_back_is_not_gone_along_with_in_the_next_run() -> None:
    system = Foresight(ToySystem(straight(3, 3)), check_every=NEVER)
    for _ in range(2):
        system.run(Replay(()).choose)
    assert system.made == 1
    known = system._memory._stands
    known._found = {led: found for led, found in known._found.items() if not led[1]}
    known.doubts += 1
    system.run(Replay(()).choose)
    assert system.made == 2


def test_two_values_that_the_same_led_to_are_none() -> None:
    known: Any = foresight._Known()
    for value in (1, 2):
        known.add(("A", b""), Knowledge(), NOTHING, value)
    assert known.find(("A", b""), Knowledge()) is None
    assert known.doubts == 1
    known.add(("B", b""), Knowledge(), NOTHING, 1)
    known.add(("B", b""), Knowledge(), Footprint(reads=frozenset({"x"})), 2)
    assert known.find(("B", b""), Knowledge()) is None
    assert known.doubts == 2


# --- wrong grounds for foresight are noticed ------------------------------------------------------


WHOLE = Knowledge.add


def no_marks(self: Knowledge, step: Executed) -> None:
    """Takes whoever shares a lock for one who only looks at it."""
    WHOLE(self, step._replace(footprint=step.footprint._replace(marks=NONE)))


def nothing_seen(self: Knowledge, step: Executed) -> None:
    """Takes what is read for nothing to learn from."""
    footprint = step.footprint
    WHOLE(self, step._replace(footprint=footprint._replace(unseen=footprint.seen)))


def no_past(self: Knowledge, footprint: Footprint, known: bytes) -> None:
    """Takes what is written unseen for made of what its writer knows alone."""
    self._versions.update(dict.fromkeys(footprint.writes, known))


def no_gaps(self: Knowledge, step: Executed) -> None:
    """Takes all deaths of an actor for the same, even where it had a lock to let go."""
    gone = step.footprint.ends
    footprint = step.footprint._replace(writes=NONE) if gone else step.footprint
    WHOLE(self, step._replace(footprint=footprint))


def nothing_expected(_self: object, _options: object) -> Footprint:
    """Takes what an actor stands before for what it will stand before for ever."""
    return NOTHING


def all_the_same(self: Knowledge, _remains: object) -> bytes:
    """Takes runs for the same in the end in which what remains is not."""
    return b"".join(sorted(self._actors.values()))


@pytest.mark.parametrize(
    ("owner", "name", "unsound"),
    [
        (Knowledge, "add", no_marks),
        (Knowledge, "add", nothing_seen),
        (Knowledge, "_write", no_past),
        (Knowledge, "add", no_gaps),
        (Knowledge, "left", all_the_same),
        (foresight._Memory, "_decisive", nothing_expected),
    ],
    ids=["marks", "seen", "unseen", "deaths", "endings", "stands"],
)
@pytest.mark.parametrize("check_every", [1, NEVER])
def test_foresight_on_wrong_grounds_is_noticed(
    owner: Any, name: str, unsound: Any, check_every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {
        (seed, number): shown(ToySystem(program), search())
        for seed in range(FEW)
        for number, (program, search) in enumerate(searches(seed))
    }
    monkeypatch.setattr(owner, name, unsound)
    for (seed, number), endings in expected.items():
        program, search = searches(seed)[number]
        try:
            found = shown(Foresight(ToySystem(program), check_every=check_every), search())
        except NondeterminismError:
            return
        if found != endings:
            return
    pytest.fail("every search went the same way all the same")


class Fickle(ToySystem):
    """Its fourth run and all after it go otherwise than those before."""

    runs = 0

    def run(self, choose: Callable[[Moment], Option | None]) -> ToyResult:
        type(self).runs += 1
        program = self.program if self.runs <= 3 else OTHER
        return ToySystem(program).run(choose)


READ, WRITE = ToyStep(kind=Act.READ, variable="x"), ToyStep(kind=Act.WRITE, variable="x")
OTHER = Program(actors=((WRITE, READ), (READ, READ)))


def test_a_system_that_changes_its_ways_is_noticed() -> None:
    program = Program(actors=((WRITE, WRITE), (READ, READ)))
    Fickle.runs = 0
    with pytest.raises(NondeterminismError, match="was foreseen"):
        shown(Foresight(Fickle(program), check_every=1), BoundedDfs(preemptions=2))


class Newborn(ToySystem):
    """Offers the second actor only once the first has moved: one that was born."""

    def run(self, choose: Callable[[Moment], Option | None]) -> ToyResult:
        def choose_among_the_born(moment: Moment) -> Option | None:
            born = moment.options if moment.step else moment.options[:1]
            return choose(Moment(moment.step, born, moment.executed))

        return super().run(choose_among_the_born)


def test_nothing_is_foreseen_where_actors_are_born() -> None:
    system = Foresight(Newborn(straight(3, 3)), check_every=1)
    endings = shown(system, BoundedDfs(preemptions=2, idle_objects=False))
    assert (system.made, system.foreseen) == (len(endings), 0)
