"""A death as a choice: it takes the place of a step, frees locks, leaves nothing, and replays."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import psutil
import pytest
from untorn_stress.explorer import Explored, record
from untorn_stress.gate.availability import probe
from untorn_stress.gated import GatedSystem
from untorn_stress.laboratory import Laboratory
from untorn_stress.run import Run
from untorn_stress.scenarios import scenario
from untorn_stress.schedulers.protocol import Moment, Option
from untorn_stress.tree import capture

pytestmark = pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")

Make = Callable[..., Laboratory]
Explore = Callable[..., Explored]

FORKING = """
def lookup(self, *, key):
    child = os.fork()
    if not child:
        for name in ("one", "two", "three"):
            os.mkdir(os.path.join(self._root, name))
        os._exit(0)
    os.waitpid(child, 0)
    return super().lookup(key=key)
"""

LOCKING = """
def publish(self, *, handle):
    with open(Path(self._root, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return super().publish(handle=handle)
"""


def system_of(laboratory: Laboratory, name: str, *, kills: bool = True) -> GatedSystem:
    played = scenario(name)
    return laboratory.system(played, laboratory.natural(played.tree), kills=kills)


def killing(after: int, victim: str = "A") -> Callable[[Moment], Option]:
    """Let the victim take so many steps, alone, then kill it; the others go on."""
    taken = 0

    def choose(moment: Moment) -> Option:
        nonlocal taken
        own = [each for each in moment.options if each.actor == victim]
        if own and taken < after:
            taken += 1
            return own[0]
        return next((each for each in own if each.fault), moment.options[0])

    return choose


def run_of(system: GatedSystem, choose: Callable[[Moment], Option]) -> Run:
    system.record = True
    return system.run(choose).run


def test_nobody_is_killed_where_nobody_may_be(laboratory_of: Make) -> None:
    system = system_of(laboratory_of(), "writer-writer", kills=False)
    offered: set[str] = set()

    def choose(moment: Moment) -> Option:
        offered.update(each.label for each in moment.options)
        return moment.options[0]

    system.run(choose)
    assert offered == {"A", "B"}


@pytest.mark.parametrize("after", [1, 2, 5])
def test_a_kill_comes_in_the_place_of_the_step(laboratory_of: Make, after: int) -> None:
    laboratory = laboratory_of()
    system = system_of(laboratory, "writer-writer")
    trees: list[object] = []
    system.on_stop = lambda: trees.append(capture(laboratory.root))
    run = run_of(system, killing(after))
    assert [each.label for each in run.steps[: after + 2]] == [*"A" * after, "A!kill", "B"]
    assert trees[after] == trees[after - 1], "what the victim was held at has happened"
    ends = {each.worker: each.is_answered for each in run.operations}
    assert ends == {"A": False, "B": True}
    assert run.findings == ()


def test_who_waits_for_the_lock_of_the_dead_gets_it(
    laboratory_of: Make,
) -> None:
    system = system_of(laboratory_of(LOCKING), "writer-writer")
    seen = run_of(system, lambda moment: moment.options[0])
    locked = next(step.number for step in seen.steps if step.call == "flock")

    def choose(moment: Moment) -> Option:
        """A until it has the lock, B until it waits, then A's death."""
        labels = {each.label: each for each in moment.options}
        if moment.step <= locked:
            return labels["A"]
        return labels.get("B") or labels["A!kill"]

    run = run_of(system, choose)
    calls = [(each.label, each.call, each.result) for each in run.steps]
    assert ("B", "flock", "waits") in calls
    assert ("B", "flock", "0") in calls[[label for label, *_ in calls].index("A!kill") :]
    assert run.findings == ()


def test_every_step_of_an_operation_is_one_to_be_killed_before(
    laboratory_of: Make, explore: Explore
) -> None:
    laboratory = laboratory_of()
    system = system_of(laboratory, "writer-writer")
    alone = run_of(system, lambda moment: moment.options[0])
    first = {each.operation for each in alone.steps}
    explored = explore(laboratory, "writer-writer", runs=None, preemptions=0, kills=1)
    assert explored.exhaustive
    # Two orders without a death; with one, each step but the first of each operation.
    assert explored.runs >= 2 + len(alone.steps) - len(first)


def test_a_removal_in_place_that_is_killed_leaves_a_torn_entry_and_a_token(
    laboratory_of: Make, explore: Explore
) -> None:
    laboratory = laboratory_of(order="REVERSED")
    explored = explore(laboratory, "reader-collector", runs=None, preemptions=0, kills=1)
    (found,) = explored.found
    assert (found.finding.requirement, found.finding.rule) == ("C1", "in-part")
    assert "B!kill" in found.token.choices
    again = record(system_of(laboratory, "reader-collector"), found.run)
    assert again is not None
    assert again.findings == found.run.findings


def test_a_removal_that_takes_the_sentinel_first_survives_every_death(
    laboratory_of: Make, explore: Explore
) -> None:
    explored = explore(laboratory_of(), "reader-collector", runs=None, preemptions=0, kills=1)
    assert (explored.exhaustive, explored.found) == (True, ())


def test_an_orphan_goes_on_when_its_parent_alone_is_killed(laboratory_of: Make) -> None:
    laboratory = laboratory_of(FORKING)
    system = system_of(laboratory, "reader-writer")

    def choose(moment: Moment) -> Option:
        """A until its child has made one directory; then A's death, and whoever is first."""
        deaths = [each for each in moment.options if each.fault == "kill.parent"]
        made = (laboratory.root / "one").exists()
        return deaths[0] if deaths and made else moment.options[0]

    run = run_of(system, choose)
    assert "kill.parent" in "".join(run.choices)
    taken = [step for step in run.steps if step.label == step.actor]
    made = [(step.actor, step.detail) for step in taken if step.call == "mkdir"]
    assert made[:3] == [("At1", "one"), ("At1", "two"), ("At1", "three")]
    answers = {each.worker: each.is_answered for each in run.operations}
    assert answers["A"] is False, "the dead owes no answer"
    assert answers["B"] is True


def test_who_has_no_child_is_killed_whole(laboratory_of: Make) -> None:
    system = system_of(laboratory_of(), "writer-writer")
    offered: set[str] = set()

    def choose(moment: Moment) -> Option:
        offered.update(each.fault for each in moment.options)
        return moment.options[0]

    system.run(choose)
    assert offered == {"", "kill"}


def below_us() -> set[int]:
    """The processes below this one, but for the dead whom their keeper has yet to wait for."""
    found = set()
    for each in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if each.status() != psutil.STATUS_ZOMBIE:
                found.add(each.pid)
    return found


def test_the_killed_leave_no_process(laboratory_of: Make) -> None:
    laboratory = laboratory_of()
    system = system_of(laboratory, "writer-writer")
    run_of(system, killing(3))
    before = below_us()  # what an earlier test leaves to its keeper may end in between
    for after in range(1, 6):
        run_of(system, killing(after))
    assert below_us() <= before, "somebody who was killed still runs"


def test_of_deaths_with_only_looks_between_them_one_is_made(
    laboratory_of: Make, explore: Explore
) -> None:
    """Who reads locks nothing here and leaves nothing: all of its deaths come to the same."""
    reads = explore(laboratory_of(), "reader-writer", runs=None, preemptions=0, kills=1)
    assert reads.exhaustive
    assert not reads.found
    deaths = reads.runs - 1
    assert reads.made <= deaths / 2
