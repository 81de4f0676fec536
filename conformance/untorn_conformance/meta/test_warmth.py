"""A worker that is forked from a warm process is as a new one; where it would not be, it is new."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from untorn_conformance.backend import Verb
from untorn_conformance.errors import BackendError
from untorn_conformance.registry import parse
from untorn_conformance.starting import start_worker
from untorn_conformance.warmth import Warmth
from untorn_stress import supervise
from untorn_stress.spawning import Process
from untorn_stress.worker import Worker

DEMO = "py:untorn_conformance.meta.demo.warming"

Start = Callable[..., Worker]


@pytest.fixture
def warmth() -> Iterator[Warmth]:
    with Warmth() as made:
        yield made


@pytest.fixture
def start(warmth: Warmth, tmp_path: Path) -> Iterator[Start]:
    workers: list[Worker] = []

    def start_one(factory: str = "Telling", **how: object) -> Worker:
        scratch = tmp_path / f"tmp-{len(workers)}"
        scratch.mkdir()
        worker = start_worker(
            parse(f"{DEMO}:{factory}"),
            run_token="warm",
            scratch=scratch,
            stderr_path=tmp_path / f"{len(workers)}.stderr",
            spawn=warmth.spawn,
            **how,  # type: ignore[arg-type]
        )
        workers.append(worker)
        return worker

    yield start_one
    for worker in workers:
        worker.close()


def say(worker: Worker, word: str) -> str:
    return str(worker.call(Verb.LOOKUP, key=word).detail)


def is_forked(worker: Worker) -> bool:
    return say(worker, "who").split()[0] == "warm.py"


def parent_of(worker: Worker) -> int:
    return int(say(worker, "who").split()[1])


def test_a_worker_is_forked(start: Start) -> None:
    assert [is_forked(start()) for _ in range(3)] == [True] * 3


def test_what_all_would_do_is_done_once_there_are_a_few(start: Start) -> None:
    """Two warm processes take turns: each has forked four, and is asked for its fifth."""
    assert [say(start("Sharing"), "shared") for _ in range(10)] == ["0"] * 8 + ["1"] * 2


def test_who_would_share_more_than_work_is_forked_no_more(start: Start) -> None:
    assert {say(start("Clinging"), "shared") for _ in range(10)} == {"0"}


@pytest.mark.parametrize("factory", ["Threaded", "Parental", "Holding", "Leaving", "Placed"])
def test_what_a_fork_would_lose_or_share_makes_a_new_process(start: Start, factory: str) -> None:
    assert [is_forked(start(factory)) for _ in range(2)] == [False] * 2


def test_a_command_around_it_makes_a_new_process(start: Start) -> None:
    assert not is_forked(start(inside=["/usr/bin/env"]))


def test_another_environment_makes_a_new_process(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_forked(start())
    assert is_forked(start())
    monkeypatch.setenv("LANGUAGE", "eo")
    assert not is_forked(start())


def test_code_that_cannot_be_loaded_says_so_as_ever(start: Start) -> None:
    with pytest.raises(BackendError, match="nothing can be made of this"):
        start("Unloadable").call(Verb.HELLO)


def test_nothing_that_a_worker_did_is_known_to_the_next(start: Start) -> None:
    told = []
    for _ in range(4):
        worker = start()
        assert say(worker, "said") == "1"
        told.append(say(worker, "said"))
    assert told == ["2"] * 4


def test_neighbours_do_not_share_the_seed_of_hashes(start: Start) -> None:
    assert len({say(start(), "hash") for _ in range(4)}) == 2


def test_a_worker_is_where_we_are_and_has_its_own_temporary_directory(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start()
    start()
    monkeypatch.chdir(tmp_path)
    for number in (2, 3):
        scratch = tmp_path / f"tmp-{number}"
        assert say(start(), "where") == f"{tmp_path} {scratch} {scratch}"


def test_the_environment_that_proc_shows_has_the_workers_own_mark(start: Start) -> None:
    first, second = start(), start()
    say(first, "who")
    say(second, "who")
    for worker in (first, second):
        shown = Path(f"/proc/{worker.pid}/environ").read_bytes().split(b"\0")
        marks = [each for each in shown if each.startswith(supervise.MARK_VARIABLE.encode())]
        (mark,) = marks
        assert [each.pid for each in supervise.marked(mark.decode().split("=")[1])] == [worker.pid]


def test_a_worker_leads_a_session_of_its_own_and_has_three_descriptors_and_its_pipes(
    start: Start,
) -> None:
    worker = start()
    say(worker, "who")
    assert os.getsid(worker.pid) == worker.pid
    assert len(os.listdir(f"/proc/{worker.pid}/fd")) == 5


def test_how_a_worker_ended_is_told(start: Start) -> None:
    stayed, killed, ended = start(), start(), start()
    assert stayed.is_alive
    killed.kill()
    os.kill(ended.pid, signal.SIGTERM)
    with pytest.raises(BackendError, match="unasked: signal SIGTERM"):
        ended.call(Verb.HELLO)
    with pytest.raises(BackendError, match="killed by the harness"):
        killed.call(Verb.HELLO)
    assert stayed.close()


def test_a_warm_process_that_was_killed_is_replaced(start: Start) -> None:
    first = start()
    os.kill(parent_of(first), signal.SIGKILL)
    assert [is_forked(start()) for _ in range(5)].count(False) == 1
    assert say(first, "said"), "it lives on"


def test_closing_ends_the_warm_ones_and_nothing_else(warmth: Warmth, start: Start) -> None:
    worker = start()
    warm = parent_of(worker)
    warmth.close()
    assert supervise.is_gone(warm)
    assert say(worker, "said") == "2"


def test_only_programs_of_ours_are_warm(warmth: Warmth) -> None:
    with open(os.devnull, "r+b") as null:
        streams = (null.fileno(),) * 3
        command = [sys.executable, "-m", "timeit", "-n", "1", "pass"]
        process: Process = warmth.spawn(command, env=dict(os.environ), streams=streams)
        assert process.wait(30) == 0
    assert warmth.is_empty
