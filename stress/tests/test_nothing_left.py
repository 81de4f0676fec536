"""Whatever happens to a search, it ends, it says how, and no process, descriptor or file stays."""

from __future__ import annotations

import contextlib
import gc
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from untorn_conformance import wire
from untorn_conformance.backend import Verb
from untorn_stress import supervise
from untorn_stress.ensemble import Cast
from untorn_stress.explore import Budget, Search
from untorn_stress.gate import ending
from untorn_stress.gate.availability import probe
from untorn_stress.gate.ending import StillRunningError
from untorn_stress.gate.hosting import FOREIGN_KEEPER, HostingError, Keeper, Order
from untorn_stress.gate.supervisor import Rules, Supervisor
from untorn_stress.gate.worker import GatedWorker
from untorn_stress.gate.world import World
from untorn_stress.gated import Choose
from untorn_stress.laboratory import Laboratory, Subject
from untorn_stress.run import FindingKind, Run
from untorn_stress.scenarios import scenario
from untorn_stress.schedulers.dfs_bounded import BoundedDfs
from untorn_stress.schedulers.protocol import Moment, Option

PROGRAMS = Path(__file__).parent / "programs"
SEARCH = PROGRAMS / "endless_search.py"
SPECIMEN = "untorn_conformance.specimens.after_review:factory"
MARK = "UNTORN_TEST_OF_WHAT_IS_LEFT"
DEADLINE_S = 60.0

pytestmark = pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")


class Watch:
    """What a test started, wherever it went: its processes inherit a mark in their environment."""

    def __init__(self, mark: str) -> None:
        self._mark = mark

    def processes(self) -> list[psutil.Process]:
        return supervise.marked(self._mark, MARK)

    def gone(self) -> list[psutil.Process]:
        """Wait for the end of all; what is left after the deadline."""
        end_s = time.monotonic() + DEADLINE_S
        while (left := self.processes()) and time.monotonic() < end_s:
            psutil.wait_procs(left, timeout=1.0)
        return left


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Watch]:
    """Mark what the test starts; whatever it leaves in spite of all is killed."""
    mark = secrets.token_hex(8)
    monkeypatch.setenv(MARK, mark)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PROGRAMS), *filter(None, sys.path)]))
    watch = Watch(mark)
    yield watch
    supervise.kill_all(watch.processes)


@pytest.fixture
def laboratory_of(watch: Watch, tmp_path: Path) -> Callable[[str], Laboratory]:
    """A laboratory of a backend (MODULE:FACTORY); it is the test's to close."""
    del watch

    def make(factory: str) -> Laboratory:
        zygote = (sys.executable, "-m", "untorn_conformance.zygote", factory)
        cast = Cast(name=factory, identity="watched@1", env=dict(os.environ), zygote=zygote)
        subject = Subject(spec=factory, identity="watched@1", cast=cast, capabilities=frozenset())
        return Laboratory(subject, base=tmp_path)

    return make


def descriptors() -> dict[str, str]:
    """What this process has open: the links by number."""
    gc.collect()  # what other tests dropped is closed now, and not between two looks
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the descriptor of the listing itself
            found[fd] = os.readlink(f"/proc/self/fd/{fd}")
    return found


def taking_turns(moment: Moment) -> Option:
    return moment.options[moment.step % len(moment.options)]


def run_of(laboratory: Laboratory, name: str, choose: Choose) -> Run:
    """One run of a scenario."""
    played = scenario(name)
    return laboratory.system(played, laboratory.natural(played.tree)).run(choose).run


# --- searches that end by themselves, and by an error --------------------------------------------


def search(laboratory: Laboratory, name: str, runs: int) -> int:
    played = scenario(name)
    system = laboratory.system(played, laboratory.natural(played.tree))
    search = Search(system, BoundedDfs(preemptions=1), Budget(runs=runs))
    return len(list(search))


def test_a_search_leaves_nothing(
    watch: Watch, laboratory_of: Callable[[str], Laboratory], tmp_path: Path
) -> None:
    before = descriptors()
    with laboratory_of(SPECIMEN) as laboratory:
        made = search(laboratory, "writer-writer", 20)
    assert (made > 9, watch.processes(), descriptors(), os.listdir(tmp_path)) == (
        True,
        [],
        before,
        [],
    )


def test_a_search_keeps_no_process_and_no_descriptor_from_run_to_run(
    watch: Watch, laboratory_of: Callable[[str], Laboratory]
) -> None:
    with laboratory_of(SPECIMEN) as laboratory:
        search(laboratory, "writer-writer", 2)
        before = (len(watch.processes()), descriptors())
        search(laboratory, "writer-writer", 20)
        assert (len(watch.processes()), descriptors()) == before


def test_an_error_amid_a_run_leaves_nothing(
    watch: Watch, laboratory_of: Callable[[str], Laboratory], tmp_path: Path
) -> None:
    def fail(moment: Moment) -> Option:
        assert moment.step < 10, "on purpose"
        return taking_turns(moment)

    before = descriptors()
    with pytest.raises(AssertionError, match="on purpose"), laboratory_of(SPECIMEN) as laboratory:
        run_of(laboratory, "writer-writer", fail)
    assert (watch.processes(), descriptors(), os.listdir(tmp_path)) == ([], before, [])


def test_a_search_goes_on_after_an_error_amid_a_run(
    laboratory_of: Callable[[str], Laboratory],
) -> None:
    def fail(moment: Moment) -> Option:
        assert moment.step < 10, "on purpose"
        return taking_turns(moment)

    with laboratory_of(SPECIMEN) as laboratory:
        played = scenario("writer-writer")
        system = laboratory.system(played, laboratory.natural(played.tree))
        with pytest.raises(AssertionError, match="on purpose"):
            system.run(fail)
        assert not system.run(taking_turns).run.cut


# --- searches that are interrupted and killed -----------------------------------------------------


@contextlib.contextmanager
def searching(factory: str, name: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that explores for ever, and is amid a run."""
    with subprocess.Popen(
        [sys.executable, str(SEARCH), factory, name, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert select.select([process.stdout], [], [], DEADLINE_S)[0], "it never began"
            assert process.stdout.readline() == "running\n", process.stdout.read()
            yield process
        finally:
            process.kill()


BUSY = [(SPECIMEN, "writer-writer"), ("wicked_backends:forks_for_ever", "reader-writer")]
each_search = pytest.mark.parametrize(("factory", "name"), BUSY, ids=["plain", "forking"])


@each_search
def test_an_interrupted_search_cleans_up_and_ends(
    watch: Watch, tmp_path: Path, factory: str, name: str
) -> None:
    with searching(factory, name, tmp_path) as process:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, said) == (130, "interrupted\n")
    assert (watch.gone(), os.listdir(tmp_path)) == ([], [])


@each_search
def test_a_search_interrupted_in_its_whole_process_group_ends_too(
    watch: Watch, tmp_path: Path, factory: str, name: str
) -> None:
    with searching(factory, name, tmp_path) as process:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, watch.gone(), os.listdir(tmp_path)) == (130, [], [])


@each_search
def test_a_killed_search_takes_all_its_processes_with_it(
    watch: Watch, tmp_path: Path, factory: str, name: str
) -> None:
    with searching(factory, name, tmp_path) as process:
        started = watch.processes()
        process.kill()
        process.communicate(timeout=DEADLINE_S)
    assert (len(started) > 1, watch.gone()) == (True, [])


# --- who else may die -----------------------------------------------------------------------------


@pytest.mark.parametrize(("factory", "name"), BUSY, ids=["plain", "forking"])
def test_a_dead_keeper_ends_the_search_with_an_error_and_leaves_nothing(
    watch: Watch,
    laboratory_of: Callable[[str], Laboratory],
    tmp_path: Path,
    factory: str,
    name: str,
) -> None:
    def kill_the_keeper(moment: Moment) -> Option:
        if moment.step == 10:
            (keeper,) = psutil.Process().children()
            keeper.kill()
        return taking_turns(moment)

    before = descriptors()
    with pytest.raises(HostingError, match="keeper"), laboratory_of(factory) as laboratory:
        run_of(laboratory, name, kill_the_keeper)
    assert (watch.gone(), descriptors(), os.listdir(tmp_path)) == ([], before, [])


def test_a_worker_that_somebody_kills_is_found_dead(
    laboratory_of: Callable[[str], Laboratory],
) -> None:
    def kill_a_worker(moment: Moment) -> Option:
        if moment.step == 10:
            worker = min(psutil.Process().children(recursive=True)[1:], key=lambda each: each.pid)
            worker.kill()
        return taking_turns(moment)

    with laboratory_of(SPECIMEN) as laboratory:
        run = run_of(laboratory, "writer-writer", kill_a_worker)
    assert [(each.kind, each.message[:8]) for each in run.findings] == [
        (FindingKind.DIED, "A died i")
    ]


# --- wicked backends ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factory", "name", "kind"),
    [
        ("hangs_in_lookup", "reader-writer", FindingKind.DEADLOCK),
        ("exits_in_publish", "writer-writer", FindingKind.DIED),
    ],
)
def test_a_backend_that_never_answers_is_a_finding(
    watch: Watch,
    laboratory_of: Callable[[str], Laboratory],
    tmp_path: Path,
    factory: str,
    name: str,
    kind: FindingKind,
) -> None:
    before = descriptors()
    with laboratory_of(f"wicked_backends:{factory}") as laboratory:
        run = run_of(laboratory, name, taking_turns)
    assert {each.kind for each in run.findings} == {kind}
    assert (watch.processes(), descriptors(), os.listdir(tmp_path)) == ([], before, [])


def test_a_backend_that_forks_for_ever_is_ended_with_all_that_it_started(
    watch: Watch, laboratory_of: Callable[[str], Laboratory], tmp_path: Path
) -> None:
    def cut(moment: Moment) -> Option | None:
        return None if moment.step == 60 else taking_turns(moment)

    before = descriptors()
    with laboratory_of("wicked_backends:forks_for_ever") as laboratory:
        played = scenario("reader-writer")
        system = laboratory.system(played, laboratory.natural(played.tree))
        assert system.run(cut).run.cut
        assert len(watch.processes()) == 1, "more than the keeper"
        assert system.run(cut).run.cut
    assert (watch.processes(), descriptors(), os.listdir(tmp_path)) == ([], before, [])


def test_a_backend_that_ignores_signals_and_leaves_a_child_is_ended_with_it(
    watch: Watch, laboratory_of: Callable[[str], Laboratory], tmp_path: Path
) -> None:
    before = descriptors()
    with laboratory_of("wicked_backends:ignores_signals") as laboratory:
        run = run_of(laboratory, "reader-writer", taking_turns)
        assert all(each.is_answered for each in run.operations)
        assert len(watch.processes()) == 1, "more than the keeper"
    assert (watch.processes(), descriptors(), os.listdir(tmp_path)) == ([], before, [])


def test_a_backend_that_cannot_be_imported_is_an_error_that_says_why(
    watch: Watch, laboratory_of: Callable[[str], Laboratory], tmp_path: Path
) -> None:
    before = descriptors()
    with (
        pytest.raises(HostingError, match=r"exit code 1(.|\n)*a library that nobody has$"),
        laboratory_of("unimportable_backend:factory") as laboratory,
    ):
        laboratory.natural("empty")
    assert (watch.processes(), descriptors(), os.listdir(tmp_path)) == ([], before, [])


def test_a_backend_that_never_answers_before_the_gate_is_given_up_at_a_deadline(
    watch: Watch, tmp_path: Path
) -> None:
    factory = "wicked_backends:never_answers_hello"
    command = (sys.executable, "-m", "untorn_conformance.zygote", factory)
    hello = wire.encode_request(1, Verb.HELLO, {}).decode()
    before = descriptors()
    with (
        Keeper(command, env=dict(os.environ), stderr=tmp_path / "stderr") as keeper,
        pytest.raises(HostingError, match=r"no worker in 1\.0 s"),
    ):
        keeper.start(Order(letter="A", setup=[hello], deadline_s=1.0))
    assert (watch.processes(), descriptors()) == ([], before)


def test_what_a_backend_writes_outside_is_not_seen_by_the_gate(
    laboratory_of: Callable[[str], Laboratory], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    monkeypatch.setenv("UNTORN_WICKED_OUTSIDE", str(outside))
    with laboratory_of("wicked_backends:writes_outside") as laboratory:
        run = run_of(laboratory, "writer-writer", taking_turns)
    assert (run.findings, outside.read_bytes()) == ((), b"written outside")


# --- daemons --------------------------------------------------------------------------------------

DAEMON = """
import os, sys
if os.fork():
    {first_does}
{child_does}
if os.fork():
    os._exit(0)
print("ready", flush=True)
{daemon_does}
"""
BLOCKS = "os.read(os.pipe()[0], 1)"
COMPUTES = "while True: pass"
LIVES_ON = f"{BLOCKS} # the worker itself stays"


@contextlib.contextmanager
def daemon(folder: Path, **does: str) -> Iterator[tuple[Keeper, GatedWorker]]:
    """A program under the gate that has started its daemon."""
    command = [sys.executable, "-c", DAEMON.format(**does)]
    with Keeper(FOREIGN_KEEPER, env=dict(os.environ), stderr=folder / "stderr") as keeper:
        worker, _ = keeper.start(Order(letter="A", argv=command, env={}))
        lines: list[bytes] = []
        passing = Supervisor(World(str(folder)), Rules(), lambda _, line: lines.append(line))
        passing.add(worker)
        end_s = time.monotonic() + DEADLINE_S
        while not lines:
            assert time.monotonic() < end_s, keeper.last_words()
            passing._handle_events(100.0)
        yield keeper, worker


each_daemon = pytest.mark.parametrize(
    ("first_does", "child_does", "daemon_does"),
    [
        (first, child, last)
        for first in (LIVES_ON, "os._exit(0)")
        for child in ("", "os.setsid()")
        for last in (BLOCKS, COMPUTES, "while True: os.stat('/')", "while True: os.fork()")
    ],
)


@each_daemon
def test_a_daemon_is_ended_with_its_worker(
    watch: Watch, tmp_path: Path, first_does: str, child_does: str, daemon_does: str
) -> None:
    does = {"first_does": first_does, "child_does": child_does, "daemon_does": daemon_does}
    with daemon(tmp_path, **does) as (keeper, worker):
        worker.close()
        assert [each.pid for each in watch.processes()] == [keeper.pid]


@pytest.mark.parametrize("daemon_does", [BLOCKS, COMPUTES])
def test_a_daemon_is_ended_with_its_keeper(watch: Watch, tmp_path: Path, daemon_does: str) -> None:
    does = {"first_does": "os._exit(0)", "child_does": "os.setsid()", "daemon_does": daemon_does}
    with daemon(tmp_path, **does) as (keeper, worker):
        keeper.close()
        assert watch.processes() == []
        worker.close()


@pytest.mark.parametrize("daemon_does", [BLOCKS, COMPUTES])
def test_a_daemon_is_ended_though_its_keeper_was_killed(
    watch: Watch, tmp_path: Path, daemon_does: str
) -> None:
    does = {"first_does": "os._exit(0)", "child_does": "os.setsid()", "daemon_does": daemon_does}
    with daemon(tmp_path, **does) as (keeper, worker):
        os.kill(keeper.pid, signal.SIGKILL)
        keeper.close()
        assert watch.processes() == []
        worker.close()


def test_who_cannot_be_found_is_said_to_run_still(
    watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "END_DEADLINE_S", 0.1)
    monkeypatch.setattr(ending, "_PATIENCE_S", 0.1)
    monkeypatch.setattr(ending, "_below", lambda _known: [])
    does = {"first_does": "os._exit(0)", "child_does": "os.setsid()", "daemon_does": BLOCKS}
    before = descriptors()
    with daemon(tmp_path, **does) as (_, worker):
        monkeypatch.setattr(worker, "processes", list)
        with pytest.raises(StillRunningError, match="a process that is not known still ran"):
            worker.close()
    assert (watch.processes(), descriptors()) == ([], before)
