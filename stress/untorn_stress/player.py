"""One worker's part in a run: what it is asked next, and what it answered.

Rule 1: the next request follows its answer at once: that a worker begins is no choice, since before
        its first gated call it touches nothing.
Rule 2: an answer that is no message, or of another request or of none, ends the run: the adapter is
        broken.
"""

from __future__ import annotations

import functools
from collections.abc import Generator
from dataclasses import dataclass, field

from untorn_conformance import wire
from untorn_conformance.backend import Verb
from untorn_conformance.errors import BackendError, ProtocolError

from untorn_stress.gate.worker import GatedWorker
from untorn_stress.run import Operation
from untorn_stress.scenario import Ask


@dataclass(slots=True)
class Asked:
    """An operation while it goes on; ``began`` is when it was asked until it takes a step.

    One that was asked while its worker had files open ``may_have_read`` of them before its first
    step, which is no step of the metadata grain: it began when it was asked.
    """

    index: int
    worker: str
    ask: Ask
    began: int
    ended: int = -1
    answer: object = None
    has_moved: bool = False
    may_have_read: bool = False
    faults: list[str] = field(default_factory=list)

    def moves(self, step: int) -> None:
        """Its worker takes this step for it; with the first one it begins."""
        if not self.has_moved and not self.may_have_read:
            self.began = step
        self.has_moved = True

    def operation(self) -> Operation:
        """The operation as a value."""
        return Operation(
            index=self.index,
            worker=self.worker,
            verb=self.ask.verb,
            args=self.ask.args,
            tag=self.ask.tag,
            began=self.began,
            ended=self.ended,
            answer=self.answer,
            faults=tuple(self.faults),
        )


class Ledger:
    """All operations of a run, in the order in which they were asked, and the count of steps."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.steps = 0

    def begin(self, worker: str, ask: Ask) -> Asked:
        """Note a request."""
        asked = Asked(len(self.asked), worker, ask, self.steps)
        self.asked.append(asked)
        return asked

    def ended_by(self, letter: str) -> list[Asked]:
        """The operations of a worker that ended within the step taken last."""
        return [each for each in self.asked if each.worker == letter and each.ended == self.steps]

    def operations(self) -> tuple[Operation, ...]:
        """The operations as values."""
        return tuple(each.operation() for each in self.asked)


class Player:
    """Plays one program with one worker."""

    def __init__(
        self, worker: GatedWorker, program: Generator[Ask, object, None], ledger: Ledger
    ) -> None:
        self.worker = worker
        self.current: Asked | None = None
        self._program = program
        self._ledger = ledger

    def begin(self) -> None:
        """Ask the first thing."""
        self._ask(next(self._program, None))

    def hear(self, line: bytes) -> None:
        """Take an answer in, and ask the next thing.

        Raises ProtocolError for what is no answer, or answers what nobody asked.
        """
        asked = self.current
        if asked is None:
            said = line.decode("utf-8", "replace")
            raise ProtocolError(f"{self.worker.letter} answered what nobody asked", line=said)
        answer = _read(line, asked.ask.verb)
        if answer.id != asked.index + 1:
            raise ProtocolError(f"an answer to request {answer.id}, not {asked.index + 1}")
        asked.answer = answer.value
        asked.ended = self._ledger.steps
        self.current = None
        try:
            self._ask(self._program.send(answer.value))
        except StopIteration:
            return

    def _ask(self, ask: Ask | None) -> None:
        if ask is None:
            return
        self.current = self._ledger.begin(self.worker.letter, ask)
        self.current.may_have_read = any(self.worker.data())
        self.worker.send(wire.encode_request(self.current.index + 1, ask.verb, ask.args))


@functools.lru_cache(maxsize=4096)
def _read(line: bytes, verb: Verb) -> wire.Answer:
    """Read an answer; most are the same in run after run. Raises ProtocolError."""
    return wire.decode_answer(line, verb=verb)


def opening(root: str) -> bytes:
    """The request that opens the root."""
    return wire.encode_request(1, Verb.OPEN, {"root": root, "env": {}, "clock_offset_s": 0.0})


def check_opened(line: bytes) -> None:
    """Raise BackendError or ProtocolError unless the line says that the root is open."""
    answer = wire.decode_answer(line, verb=Verb.OPEN)
    if isinstance(answer.value, BackendError):
        raise answer.value
