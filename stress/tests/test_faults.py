"""A failed call as a choice: what fails, how long, what others see of it, and that it replays."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from untorn_conformance.backend import Damaged, Published, Verb
from untorn_stress.explorer import record
from untorn_stress.gate.availability import probe
from untorn_stress.gated import GatedSystem
from untorn_stress.grain import Grain
from untorn_stress.laboratory import Laboratory
from untorn_stress.payloads import FRAME_BYTES
from untorn_stress.run import Run, Step
from untorn_stress.scenarios import scenario
from untorn_stress.schedulers.protocol import Moment, Option
from untorn_stress.tree import capture

pytestmark = pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")

Make = Callable[..., Laboratory]

PROBING = """
def lookup(self, *, key):
    told = []
    for attempt in range({attempts}):
        try:
            {attempt}
            told.append("well")
        except OSError as error:
            told.append(errno.errorcode[error.errno])
    with open(os.path.join(os.environ["TMPDIR"], "told"), "w") as file:
        file.write(" ".join(told))
    return super().lookup(key=key)
"""


@pytest.fixture
def probing(laboratory_of: Make) -> Callable[..., Laboratory]:
    """Makes a laboratory whose lookup first does something ``attempts`` times, and notes what."""

    def make(attempt: str, *, attempts: int = 3, grain: Grain = Grain.DATA) -> Laboratory:
        method = PROBING.format(attempt=attempt, attempts=attempts)
        return laboratory_of(method, grain=grain)

    return make


def told(laboratory: Laboratory) -> list[str]:
    return (laboratory.folder / "tmp" / "real-A" / "told").read_text().split()


def system_of(
    laboratory: Laboratory,
    name: str = "failing-lookup",
    *,
    errnos: bool = True,
    kills: bool = False,
) -> GatedSystem:
    played = scenario(name)
    start = laboratory.natural(played.tree)
    system = laboratory.system(played, start, kills=kills, errnos=errnos)
    system.record = True
    return system


def at(fault: str, *, nth: int = 1) -> Callable[[Moment], Option]:
    """Take every step, but for the first moment at which this fault is offered the n-th time."""
    offered = 0

    def choose(moment: Moment) -> Option:
        nonlocal offered
        found = [each for each in moment.options if each.fault == fault]
        offered += bool(found)
        return found[0] if found and offered == nth else moment.options[0]

    return choose


def run_of(system: GatedSystem, choose: Callable[[Moment], Option]) -> Run:
    return system.run(choose).run


def struck(run: Run) -> Step:
    return next(step for step in run.steps if step.label != step.actor)


STAT = "os.stat(self._root)"
LOCK = "fcntl.flock(os.open(self._root, os.O_RDONLY), fcntl.LOCK_SH)"
WRITE = """
            with open(os.path.join(self._root, "file"), "wb", buffering=0) as file:
                told.append(str(file.write(b"12345678")))"""


def test_nothing_fails_where_nothing_may(laboratory_of: Make) -> None:
    system = system_of(laboratory_of(), "failing-publish", errnos=False)
    faults: set[str] = set()

    def choose(moment: Moment) -> Option:
        faults.update(each.fault for each in moment.options)
        return moment.options[0]

    system.run(choose)
    assert faults == {""}


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("EIO", ["EIO", "well", "well"]),
        ("EIO+", ["EIO", "EIO", "EIO"]),
    ],
)
def test_a_call_fails_once_or_from_then_on(probing: Make, fault: str, seen: Sequence[str]) -> None:
    laboratory = probing(STAT)
    run = run_of(system_of(laboratory), at(fault))
    assert told(laboratory) == seen
    assert struck(run).result == "EIO"


def test_an_interrupted_call_is_interrupted_twice_at_most(probing: Make) -> None:
    laboratory = probing("os.open(self._root, os.O_RDONLY)")  # open(2) is retried: PEP 475
    run = run_of(system_of(laboratory), at("EINTRx2"))
    results = [step.result for step in run.steps if step.call == "openat"]
    assert results[:3] == ["EINTR", "EINTR", "fd"]
    assert told(laboratory) == ["well", "well", "well"]


def test_what_lasts_hits_only_calls_that_can_fail_so(probing: Make) -> None:
    laboratory = probing(LOCK)
    run = run_of(system_of(laboratory), at("ENOLCK+"))
    assert told(laboratory) == ["ENOLCK"] * 3
    assert {step.result for step in run.steps if step.call == "openat"} == {"fd"}


def test_a_lock_that_failed_is_not_held(probing: Make) -> None:
    laboratory = probing(LOCK.replace("LOCK_SH", "LOCK_EX | fcntl.LOCK_NB"), attempts=2)
    run_of(system_of(laboratory), at("ENOLCK"))
    assert told(laboratory) == ["ENOLCK", "well"]


def test_a_failed_call_changes_nothing(laboratory_of: Make) -> None:
    laboratory = laboratory_of(grain=Grain.DATA)
    system = system_of(laboratory, "failing-publish")
    trees: list[object] = [laboratory.natural("empty").tree]
    system.on_stop = lambda: trees.append(capture(laboratory.root))
    run = run_of(system, at("ENOSPC"))
    number = struck(run).number
    assert trees[number] == trees[number + 1]


def test_a_write_is_cut_short_and_its_writer_told_so(probing: Make) -> None:
    laboratory = probing(WRITE)
    run = run_of(system_of(laboratory), at("short"))
    assert told(laboratory) == ["4", "well", "8", "well", "8", "well"]
    assert struck(run).result == "4"
    assert run.operations[0].faults == ("short",)


def test_a_worker_dies_within_a_write(laboratory_of: Make) -> None:
    laboratory = laboratory_of(grain=Grain.DATA)
    system = system_of(laboratory, "failing-publish", kills=True)
    sizes: list[int] = []
    system.on_stop = lambda: sizes.extend(
        node.size for node in capture(laboratory.root).nodes.values()
    )
    run = run_of(system, at("kill.within"))
    assert run.choices[-1] == "A!kill.within"
    assert sizes[-1] * 2 == FRAME_BYTES
    assert run.findings == ()


def test_a_close_that_fails_has_closed_all_the_same(probing: Make) -> None:
    attempt = """
            fd = os.open(os.path.join(self._root, "file"), os.O_WRONLY | os.O_CREAT)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.close(fd)"""
    laboratory = probing(attempt)
    run = run_of(system_of(laboratory), at("EIO", nth=2))
    assert struck(run).call == "close"
    assert told(laboratory) == ["EIO", "well", "well"], "its lock was let go"


def test_the_errno_is_noted_with_the_operation_that_met_it(laboratory_of: Make) -> None:
    system = system_of(laboratory_of(grain=Grain.DATA), "failing-publish")
    run = run_of(system, at("ENOSPC"))
    met = {each.verb: each.faults for each in run.operations if each.faults}
    assert met == {Verb.STAGE: ("ENOSPC",)}


def test_an_error_in_answer_to_an_errno_is_found_and_replays(laboratory_of: Make) -> None:
    laboratory = laboratory_of(grain=Grain.DATA)
    system = system_of(laboratory, "failing-publish")
    run = run_of(system, at("ENOSPC"))
    assert [(each.requirement, each.rule) for each in run.findings] == [("D2", "error")]
    again = record(system, run)
    assert again is not None
    assert [(each.requirement, each.rule) for each in again.findings] == [("D2", "error")]


CAREFUL = """
def read(self, *, handle, index):
    from untorn_conformance.backend import Damaged
    try:
        return super().read(handle=handle, index=index)
    except OSError as error:
        return Damaged(detail=str(error))
"""


def test_a_read_that_met_an_errno_may_say_damaged(laboratory_of: Make) -> None:
    system = system_of(laboratory_of(CAREFUL, grain=Grain.DATA))
    run = run_of(system, at("EIO", nth=7))
    (answer,) = [each.answer for each in run.operations if each.faults]
    assert isinstance(answer, Damaged)
    assert run.findings == ()


FORGETFUL = (
    CAREFUL
    + """
def publish(self, *, handle):
    answer = super().publish(handle=handle)
    try:
        os.stat(self._root)
    except OSError:
        shutil.rmtree(Path(self._root, next(os.walk(self._root))[1][0]))
    return answer
"""
)


def test_what_was_acknowledged_under_a_fault_is_found(laboratory_of: Make) -> None:
    laboratory = laboratory_of(FORGETFUL, grain=Grain.DATA)
    system = system_of(laboratory, "failing-publish")
    calls: list[str] = []

    def choose(moment: Moment) -> Option:
        """Let the stat after the publish fail: the last newfstatat of the operation."""
        fault = next((each for each in moment.options if each.fault == "ENOMEM"), None)
        published = [each for each in calls if each == "fault"]
        is_it = fault is not None and moment.step == where and not published
        return fault if is_it and fault is not None else moment.options[0]

    where = -1
    plain = run_of(system, choose)
    where = max(
        step.number
        for step in plain.steps
        if step.call == "newfstatat" and plain.operations[step.operation].verb is Verb.PUBLISH
    )
    run = run_of(system, choose)
    answers = [each.answer for each in run.operations if each.verb is Verb.PUBLISH]
    assert isinstance(answers[0], Published)
    assert {each.requirement for each in run.findings} & {"R2", "P1"}
