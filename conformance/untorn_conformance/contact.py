"""The first lines that are exchanged with a program, read as a stranger's.

Rule 1: a request goes out only when the one before it was answered, so that an answer that waits
        for more input shows.
Rule 2: what does not come in time is asked for once more by ending the program's input: what comes
        then was kept in a buffer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from untorn_stress.channel import ChannelClosedError, OverlongLineError
from untorn_stress.worker import Worker

from untorn_conformance import wire
from untorn_conformance.backend import Verb
from untorn_conformance.errors import ProtocolError
from untorn_conformance.starting import in_a_line

_QUOTED_CHARACTERS: Final = 160
_LAST_WORDS_CHARACTERS: Final = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """Which check failed, what was seen and what to do, and the checks that were passed before."""

    check: str
    seen: str
    passed: tuple[str, ...] = ()


def first_contact(worker: Worker, deadline_s: float) -> Trouble | None:
    """Say hello, then ask for what cannot be; None where both answers are messages of their own."""
    requests: tuple[tuple[int, Verb, dict[str, object]], ...] = (
        (4711, Verb.HELLO, {}),
        (4712, Verb.RELEASE, {"handle": "the doctor never had this handle"}),
    )
    for request_id, verb, args in requests:
        line = wire.encode_request(request_id, verb, args)
        trouble = _ask(worker, line, verb, request_id, deadline_s)
        if trouble is not None:
            return trouble
    return None


def _ask(
    worker: Worker, line: bytes, verb: Verb, request_id: int, deadline_s: float
) -> Trouble | None:
    try:
        worker.channel.write_line(line)
        said = worker.channel.read_line(time.monotonic() + deadline_s)
    except TimeoutError:
        return _after_the_deadline(worker, verb, deadline_s)
    except OverlongLineError as error:
        return Trouble(check="stdout", seen=f"a line that does not end: {error.start!r}")
    except ChannelClosedError:
        return Trouble(check="hello", seen=_death(worker, verb))
    return _judge(said, verb, request_id)


def _after_the_deadline(worker: Worker, verb: Verb, deadline_s: float) -> Trouble:
    """Tell who keeps the answer in a buffer from who has none."""
    worker.channel.end_input()
    try:
        kept = worker.channel.read_line(time.monotonic() + deadline_s)
    except (TimeoutError, ChannelClosedError, OverlongLineError):
        seen = f"no answer of {verb} in {deadline_s:.0f} s; read a line, answer it, then the next"
        return Trouble(check="hello", seen=seen)
    seen = f"{_quoted(kept)} came only at the end of the input; flush stdout after every line"
    return Trouble(check="flush", seen=seen, passed=("stdout",))


def _judge(line: bytes, verb: Verb, request_id: int) -> Trouble | None:
    passed = ("stdout", "flush")
    try:
        answer = wire.decode_answer(line, verb=verb)
    except ProtocolError as error:
        if not line.lstrip().startswith(b"{"):
            seen = f"{_quoted(line)} is no message; print such things to stderr"
            return Trouble(check="stdout", seen=seen)
        return Trouble(check="hello", seen=str(error), passed=passed)
    if answer.id != request_id:
        seen = f"request {request_id} was answered with id {answer.id}; repeat the request's own"
        return Trouble(check="ids", seen=seen, passed=passed)
    return None


def _death(worker: Worker, verb: Verb) -> str:
    words = worker.stderr()[-_LAST_WORDS_CHARACTERS:].strip()
    told = f"; its stderr ends with: {in_a_line(words)}" if words else "; its stderr is empty"
    return f"it ended, or closed its stdout, before it answered {verb}{told}"


def _quoted(line: bytes) -> str:
    return repr(line.decode(errors="replace")[:_QUOTED_CHARACTERS])
