from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from untorn_conformance.backend import Miss, Verb
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_stress import supervise
from untorn_stress.spawning import anew
from untorn_stress.worker import Worker, WorkerDiedError

ADAPTER = Path(__file__).parent / "wicked_adapter.py"

Start = Callable[..., Worker]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the adapter; whatever a test leaves is killed."""
    workers: list[Worker] = []

    def start_worker(*arguments: str, command: list[str] | None = None, **how: Any) -> Worker:
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
        worker = Worker.start(
            command or [sys.executable, str(ADAPTER), *arguments],
            env=environment,
            stderr_path=tmp_path / f"{len(workers)}.stderr",
            **how,
        )
        workers.append(worker)
        return worker

    yield start_worker
    for worker in workers:
        worker.close()


def lookup(worker: Worker, key: str, **how: Any) -> Any:
    return worker.call(Verb.LOOKUP, key=key, **how)


def runs(pid: int) -> bool:
    return not supervise.is_gone(pid)


def test_a_call_returns_the_dataclass_of_the_answer(start: Start) -> None:
    assert isinstance(lookup(start(), "plain"), Miss)


def test_a_worker_has_a_session_of_its_own(start: Start) -> None:
    worker = start()
    assert os.getsid(worker.pid) == worker.pid


def test_several_workers_are_busy_at_once(start: Start) -> None:
    hanging, other = start(), start()
    hanging.send(Verb.LOOKUP, key="hang")
    assert isinstance(lookup(other, "plain"), Miss)


def test_answers_may_be_received_in_any_order(start: Start) -> None:
    worker = start()
    first = worker.send(Verb.LOOKUP, key="child")
    second = worker.send(Verb.LOOKUP, key="plain")
    assert worker.receive(second).detail == ""
    assert worker.receive(first).detail.isdecimal()


def test_an_answer_is_received_once(start: Start) -> None:
    worker = start()
    pending = worker.send(Verb.LOOKUP, key="plain")
    worker.receive(pending)
    with pytest.raises(ValueError, match="received before"):
        worker.receive(pending)


def test_arguments_that_the_verb_does_not_have_are_refused_before_they_are_sent(
    start: Start,
) -> None:
    with pytest.raises(TypeError):
        start().call(Verb.LOOKUP, clef="k")


def test_a_worker_that_exits_is_an_indefinite_unasked_death_with_its_last_words(
    start: Start,
) -> None:
    worker = start()
    with pytest.raises(WorkerDiedError, match=r"exit code 3(.|\n)*about to exit") as caught:
        lookup(worker, "exit")
    assert caught.value.code is ErrorCode.DIED
    assert not caught.value.definite
    assert not caught.value.asked


def test_a_death_is_seen_though_a_grandchild_holds_the_pipe_open(start: Start) -> None:
    with pytest.raises(WorkerDiedError, match="exit code 3"):
        lookup(start(), "leave-stdout-open")


def test_half_a_line_before_a_death_is_quoted(start: Start) -> None:
    with pytest.raises(WorkerDiedError, match="half a line before"):
        lookup(start(), "half-line")


def test_a_worker_that_hangs_passes_its_deadline(start: Start) -> None:
    worker = start()
    with pytest.raises(BackendError) as caught:
        lookup(worker, "hang", deadline_s=0.05)
    assert caught.value.code is ErrorCode.DEADLINE
    assert not caught.value.definite
    assert worker.is_alive


def test_a_closed_stdout_of_a_living_worker_is_no_death(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("untorn_stress.worker.EOF_GRACE_S", 0.05)
    worker = start()
    with pytest.raises(BackendError, match="closed its stdout") as caught:
        lookup(worker, "close-stdout")
    assert caught.value.code is ErrorCode.PROTOCOL
    assert worker.is_alive


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("Hello there\n", "stderr"),
        ('{"id": 999, "ok": {"kind": "done"}}\n', "request 999"),
        ('{"id": 1, "ok": {"kind": "staged", "handle": "h"}}\n', "not an answer of lookup"),
    ],
)
def test_garbage_is_a_protocol_error_that_quotes_it(start: Start, said: str, problem: str) -> None:
    with pytest.raises(BackendError, match=problem) as caught:
        lookup(start(), f"say:{said}")
    assert caught.value.code is ErrorCode.PROTOCOL


def test_a_line_without_end_is_a_protocol_error(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("untorn_stress.channel.MAX_LINE_BYTES", 1000)
    with pytest.raises(BackendError, match="does not end"):
        lookup(start(), "say:" + "x" * 5000)


def test_a_stopped_worker_answers_only_after_it_is_resumed(start: Start) -> None:
    worker = start()
    lookup(worker, "plain")
    worker.stop()
    assert supervise.thread_states(worker.pid) == {"T"}
    pending = worker.send(Verb.LOOKUP, key="plain")
    with pytest.raises(BackendError, match="deadline"):
        worker.receive(pending, deadline_s=0.05)
    worker.resume()
    assert isinstance(worker.receive(pending), Miss)


def test_a_request_larger_than_the_pipe_reaches_a_stopped_worker_when_it_goes_on(
    start: Start,
) -> None:
    worker = start()
    worker.stop()
    pending = worker.send(Verb.LOOKUP, key="k" * 10_000_000)
    worker.resume()
    assert isinstance(worker.receive(pending), Miss)


def test_stopping_a_dead_worker_says_that_it_is_dead(start: Start) -> None:
    worker = start()
    worker.kill()
    with pytest.raises(WorkerDiedError):
        worker.stop()


def test_kill_is_an_asked_death_and_leaves_no_zombie(start: Start) -> None:
    worker = start()
    pending = worker.send(Verb.LOOKUP, key="hang")
    worker.kill()
    assert not psutil.pid_exists(worker.pid)
    with pytest.raises(WorkerDiedError, match="killed by the harness") as caught:
        worker.receive(pending)
    assert caught.value.asked


def test_an_answer_given_before_the_death_is_not_lost(start: Start) -> None:
    worker = start()
    answered, unanswered = (
        worker.send(Verb.LOOKUP, key="plain"),
        worker.send(Verb.LOOKUP, key="exit"),
    )
    with pytest.raises(WorkerDiedError):
        worker.receive(unanswered)
    assert isinstance(worker.receive(answered), Miss)


def test_a_living_worker_says_what_it_started_and_what_of_it_runs(start: Start) -> None:
    worker = start()
    assert worker.started() == []
    child = int(lookup(worker, "child").detail)
    daemon = int(lookup(worker, "daemon").detail)
    assert worker.started() == sorted([child, daemon])
    supervise.kill_all(lambda: [psutil.Process(child)] if runs(child) else [])
    assert worker.started() == [daemon]


def test_kill_leaves_the_children_of_the_worker_alive(start: Start) -> None:
    worker = start()
    child = int(lookup(worker, "child").detail)
    worker.kill()
    assert runs(child)


def test_kill_tree_takes_children(start: Start) -> None:
    worker = start()
    child = int(lookup(worker, "child").detail)
    assert worker.kill_tree() == 2
    assert not runs(child)


def test_kill_tree_takes_a_daemon_in_its_own_session(start: Start) -> None:
    worker = start()
    daemon = int(lookup(worker, "daemon").detail)
    assert os.getsid(daemon) == daemon
    assert worker.kill_tree() == 2
    assert not runs(daemon)


def test_kill_tree_takes_what_a_dead_worker_left(start: Start) -> None:
    worker = start()
    child = int(lookup(worker, "child").detail)
    worker.kill()
    assert worker.kill_tree() == 1
    assert not runs(child)


def test_kill_tree_takes_only_its_own_worker(start: Start) -> None:
    worker, other = start(), start()
    child = int(lookup(other, "child").detail)
    worker.kill_tree()
    assert other.is_alive
    assert runs(child)


def test_close_lets_a_worker_exit_by_itself(start: Start) -> None:
    worker = start()
    lookup(worker, "plain")
    assert worker.close() is True


def test_close_ends_a_worker_that_ignores_the_end_of_its_input(start: Start) -> None:
    worker = start("--ignore-eof")
    lookup(worker, "plain")
    assert worker.close(grace_s=0.05) is False
    assert not worker.is_alive


def test_close_ends_a_stopped_worker_without_waiting_for_it(start: Start) -> None:
    worker = start()
    worker.stop()
    assert worker.close(grace_s=600) is False
    assert not worker.is_alive


def test_leaving_the_context_leaves_nothing(start: Start) -> None:
    with start() as worker:
        daemon = int(lookup(worker, "daemon").detail)
    assert not worker.is_alive
    assert not runs(daemon)


def test_a_program_that_does_not_exist_cannot_be_started(start: Start) -> None:
    with pytest.raises(FileNotFoundError):
        start(command=["/nonexistent/adapter"])


@pytest.mark.skipif(os.getuid() != 0, reason="only root may start a program as another user")
def test_a_foreign_program_is_started_as_another_user_without_groups(start: Start) -> None:
    script = "grep -E '^(Uid|Gid|Groups):' /proc/self/status >&2"
    groups = os.getgroups()
    os.setgroups([*groups, 7])
    try:
        as_nobody = partial(anew, uid=65534, gid=65534)
        worker = start(command=["/bin/sh", "-c", script], spawn=as_nobody)
    finally:
        os.setgroups(groups)
    with pytest.raises(WorkerDiedError):
        lookup(worker, "plain")
    fields = [line.split() for line in worker.stderr().splitlines()]
    assert fields == [["Uid:", *["65534"] * 4], ["Gid:", *["65534"] * 4], ["Groups:"]]
