from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from untorn_conformance import serve, wire
from untorn_conformance.backend import Hello, Hit, Published, Staged, Verb
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.meta.demo.directory import DirectoryCache
from untorn_conformance.registry import parse
from untorn_stress.worker import Worker, WorkerDiedError

ODD = "py:untorn_conformance.meta.demo.odd:OddCache"
PLAIN = "py:untorn_conformance.meta.demo.directory:DirectoryCache"
NOBODY = 65534

Start = Callable[..., Worker]

only_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    workers: list[Worker] = []

    def start_worker(spec: str = ODD, **drop: int) -> Worker:
        backend = parse(spec)
        environment = {**os.environ, **backend.environment()}
        stderr = tmp_path / f"{len(workers)}.stderr"
        worker = Worker.start(backend.command(**drop), env=environment, stderr_path=stderr)
        workers.append(worker)
        return worker

    yield start_worker
    for worker in workers:
        worker.close()


def say(worker: Worker, word: str) -> str:
    return str(worker.call(Verb.LOOKUP, key=word).detail)


def test_a_python_backend_is_asked_over_stdio(start: Start, tmp_path: Path) -> None:
    frame = tmp_path / "frame"
    frame.write_bytes(b"pixels")
    worker = start(PLAIN)
    assert isinstance(worker.call(Verb.HELLO), Hello)
    worker.call(Verb.OPEN, root=str(tmp_path / "root"), env={}, clock_offset_s=0.0)
    files = [{"name": "frame_00001.png", "path": str(frame)}]
    staged = worker.call(Verb.STAGE, key="k", files=files)
    assert isinstance(staged, Staged)
    assert isinstance(worker.call(Verb.PUBLISH, handle=staged.handle), Published)
    hit = worker.call(Verb.LOOKUP, key="k")
    assert isinstance(hit, Hit)
    assert worker.call(Verb.READ, handle=hit.handle, index=0).bytes == len(b"pixels")


def test_stray_prints_go_to_stderr_and_not_into_the_protocol(start: Start) -> None:
    worker = start()
    assert say(worker, "print") == ""
    assert worker.stderr() == "a stray line\nanother\n"


def test_a_backend_error_keeps_its_code_and_whether_it_is_definite(start: Start) -> None:
    with pytest.raises(BackendError, match="not this key") as caught:
        say(start(), "refuse")
    assert (caught.value.code, caught.value.definite) == (ErrorCode.INVALID_KEY, False)


def test_an_unforeseen_exception_is_internal_with_its_traceback_on_stderr(start: Start) -> None:
    worker = start()
    with pytest.raises(BackendError, match="RuntimeError: nobody foresaw this") as caught:
        say(worker, "raise")
    assert caught.value.code is ErrorCode.INTERNAL
    assert "Traceback" in worker.stderr()


@pytest.mark.parametrize("verb", [Verb.STATS, Verb.LOG])
def test_a_verb_that_the_object_lacks_is_unsupported(start: Start, verb: Verb) -> None:
    with pytest.raises(BackendError) as caught:
        start().call(verb)
    assert caught.value.code is ErrorCode.UNSUPPORTED


def test_programs_that_a_backend_starts_cannot_eat_requests(start: Start) -> None:
    worker = start()
    first = worker.send(Verb.LOOKUP, key="read-stdin")
    second = worker.send(Verb.LOOKUP, key="")
    assert worker.receive(first).detail == ""
    assert worker.receive(second).detail == ""


def test_programs_that_a_backend_starts_inherit_only_the_standard_descriptors(
    start: Start,
) -> None:
    # 3 is the listing's own descriptor of the folder that it lists.
    assert say(start(), "child-descriptors") == "0 1 2 3"


def test_an_interrupt_from_the_keyboard_ends_neither_host_nor_conversation(start: Start) -> None:
    worker = start()
    say(worker, "")
    os.kill(worker.pid, signal.SIGINT)
    assert say(worker, "") == ""


def test_programs_that_a_backend_starts_can_be_interrupted(start: Start) -> None:
    ignored = int(say(start(), "child-interrupt"), 16)
    assert not ignored & (1 << (signal.SIGINT - 1))


def test_the_host_exits_cleanly_at_the_end_of_its_input(start: Start) -> None:
    worker = start()
    say(worker, "")
    assert worker.close()


def test_a_factory_that_does_not_exist_ends_the_host_with_a_word_on_stderr(start: Start) -> None:
    with pytest.raises(WorkerDiedError, match="no_such_factory"):
        start("py:untorn_conformance.meta.demo.odd:no_such_factory").call(Verb.HELLO)


def test_a_malformed_request_is_answered_and_not_the_end() -> None:
    answers = io.BytesIO()
    good = wire.encode_request(1, Verb.HELLO, {})
    serve.serve(DirectoryCache(), [b"not json\n", good], answers)
    refused, greeted = answers.getvalue().splitlines()
    error = wire.decode_answer(refused)
    assert isinstance(error.value, BackendError)
    assert (error.id, error.value.code) == (0, ErrorCode.BAD_REQUEST)
    assert isinstance(wire.decode_answer(greeted).value, Hello)


@only_root
def test_the_host_becomes_another_user_after_its_code_is_loaded(start: Start) -> None:
    who = say(start(uid=NOBODY, gid=NOBODY), "who")
    ids = f"{(NOBODY,) * 3}"
    assert who == f"{ids} {ids} [] preloaded 0 /"


@only_root
def test_the_other_user_is_for_good(start: Start) -> None:
    with pytest.raises(BackendError, match="PermissionError"):
        say(start(uid=NOBODY), "regain")


@only_root
def test_a_traceback_of_the_other_user_still_reaches_stderr(start: Start) -> None:
    worker = start(uid=NOBODY)
    with pytest.raises(BackendError, match="nobody foresaw this"):
        say(worker, "raise")
    assert "RuntimeError: nobody foresaw this" in worker.stderr()


def test_a_user_that_cannot_be_taken_on_is_an_error() -> None:
    # As root the first drop works; the way back must not.
    script = "import os\nfrom untorn_conformance.serve import drop_privileges\n"
    script += f"if os.getuid() == 0: drop_privileges({NOBODY}, {NOBODY})\ndrop_privileges(0, 0)"
    environment = {**os.environ, **parse(PLAIN).environment()}
    ended = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "PermissionError" in ended.stderr
