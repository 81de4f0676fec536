"""fail_nth: one run without a fault, then each fault of it, once."""

from __future__ import annotations

from untorn_stress.explore import Budget, Search
from untorn_stress.schedulers.dfs_bounded import BoundedDfs
from untorn_stress.schedulers.fail_nth import FailNth, Site
from untorn_stress.schedulers.protocol import Ending, Executed, Moment, Option, Scheduler
from untorn_stress.toys import Act, Fault, Program, ToyStep, ToySystem

LENGTH = 3
FAULTS = ("EIO", "EIO+")


def runs(scheduler: Scheduler, length: int = LENGTH, *, forgets: bool = False) -> list[list[str]]:
    """What each run of one actor chose; a fault ends it where it ``forgets`` its second step."""
    made: list[list[str]] = []
    while scheduler.begin():
        chosen: list[str] = []
        executed: Executed | None = None
        for step in range(length):
            faults = () if forgets and made and step == 1 else FAULTS
            options = (Option("A"), *(Option("A", fault=fault) for fault in faults))
            option = scheduler.choose(Moment(step, options, executed))
            assert option is not None
            executed = Executed("A", option.label, option.footprint)
            chosen.append(option.label)
        scheduler.end(Ending(executed, cut=False))
        made.append(chosen)
    return made


def test_each_fault_comes_once_after_a_run_without_any() -> None:
    scheduler = FailNth()
    assert runs(scheduler, 2) == [
        ["A", "A"],
        ["A!EIO", "A"],
        ["A!EIO+", "A"],
        ["A", "A!EIO"],
        ["A", "A!EIO+"],
    ]
    assert scheduler.exhaustive


def test_some_are_drawn_by_the_seed_alone() -> None:
    one, same, other = (runs(FailNth(runs=3, seed=seed)) for seed in (1, 1, 2))
    assert len(one) == 4
    assert one == same
    assert one != other


def test_a_sample_is_not_exhaustive() -> None:
    scheduler = FailNth(runs=1)
    runs(scheduler)
    assert not scheduler.exhaustive


def test_a_fault_that_is_not_offered_again_was_missed() -> None:
    scheduler = FailNth()
    runs(scheduler, forgets=True)
    assert scheduler.missed == [Site(1, "A!EIO"), Site(1, "A!EIO+")]
    assert not scheduler.exhaustive


def test_a_fault_is_found_again_whatever_it_took_to_wait_for_another() -> None:
    """A looks whether B is done, three times in the first run and never in those that follow."""
    made: list[list[str]] = []
    scheduler = FailNth()
    while scheduler.begin():
        looks = 0 if made else 3
        chosen: list[str] = []
        for step in range(looks + 2):
            waits = Option("A", yielded=True)
            options = (waits,) if step < looks else (Option("B"), Option("B", fault="EIO"))
            option = scheduler.choose(Moment(step, options))
            assert option is not None
            chosen.append(option.label)
        scheduler.end(Ending(None, cut=False))
        made.append(chosen)
    assert scheduler.missed == []
    assert made[1:] == [["B!EIO", "B"], ["B", "B!EIO"]]


def test_for_one_actor_it_is_the_bounded_search_with_one_fault() -> None:
    steps = tuple(
        ToyStep(kind=kind, variable="x", value=value, faults=tuple(Fault))
        for kind, value in ((Act.READ, 0), (Act.WRITE, 2), (Act.READ, 0))
    )
    program = Program(actors=(steps,))
    schedules = [
        {
            tuple(result.labels)
            for result in Search(ToySystem(program), scheduler, Budget())
            if not result.ending.cut
        }
        for scheduler in (FailNth(), BoundedDfs(preemptions=0, faults=1, pruning=False))
    ]
    assert schedules[0] == schedules[1]
    assert len(schedules[0]) > LENGTH
