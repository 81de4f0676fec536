"""One fresh worker alone, asked in turn: who looks at what a round left."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Mapping
from typing import Final

from untorn_conformance.backend import Verb
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.history import Death

from untorn_stress.storm.arena import Arena
from untorn_stress.storm.crew import StormWorker
from untorn_stress.storm.population import how_ended
from untorn_stress.storm.recorder import Recorder
from untorn_stress.storm.roles import Errand, Part, Role, Word

EXIT_GRACE_S: Final = 10.0


class Solo:
    """A worker whose answers are waited for, ``deadline_s`` each. What it does is on record.

    Once it has died, or passed a deadline, it is asked no more, and every further answer is the
    error that said so, of no operation.
    """

    def __init__(self, arena: Arena, recorder: Recorder, part: Part, *, deadline_s: float) -> None:
        self._arena = arena
        self._recorder = recorder
        self._deadline_s = deadline_s
        self._worker = StormWorker(part, _nothing(), -1, arena.start(part.process))
        self._failure: BackendError | None = None
        self.part: Final = part

    @property
    def pid(self) -> int:
        """The process id, 0 until the nursery has told it."""
        return self._worker.pid

    @property
    def failure(self) -> BackendError | None:
        """Why nothing more is asked of it; None while it answers."""
        return self._failure

    def ask(
        self,
        errand: Errand,
        *,
        record: bool = True,
        before: Mapping[str, float] | None = None,
        after: Callable[[], Mapping[str, float]] = dict,
    ) -> Word:
        """Ask, and wait for the answer; ``before`` and ``after`` tell more numbers of a collect."""
        if self._failure is not None:
            return Word(op=-1, value=self._failure)
        op = self._recorder.ask(self.part.process, errand, record=record, more=before)
        self._worker.send(errand.verb, errand.args)
        value = self._await(errand.verb)
        ended_ns = time.monotonic_ns()
        if value is self._failure is not None:
            assert isinstance(value, BackendError)
            if value.code is ErrorCode.DEADLINE:
                self._recorder.answered(op, value, ended_ns=ended_ns)
            else:
                self._record_death(ended_ns)
            return Word(op=op.id, value=value)
        self._recorder.answered(op, value, ended_ns=ended_ns, more=after())
        return Word(op=op.id, value=value)

    def _record_death(self, at_ns: int) -> None:
        """Put on record how it ended; what it was asked last stays unanswered."""
        ended: list[int] = []

        def is_told() -> bool:
            for news in self._arena.news():
                if news.get("started") == self.part.process:
                    self._worker.pid = news["pid"]
                elif "ended" in news and news["ended"] == self._worker.pid:
                    ended.append(news["status"])
            return bool(ended)

        await_true(is_told, EXIT_GRACE_S)
        how = how_ended(ended[0]) if ended else "it closed its output"
        self._recorder.death(Death(process=self.part.process, at_ns=at_ns, asked=False, how=how))

    def play(self, role: Role) -> None:
        """Ask what a role asks, until it ends; nothing is waited for but answers."""
        word: Word | None = None
        while True:
            try:
                step = role.send(word)
            except StopIteration:
                return
            word = self.ask(step) if isinstance(step, Errand) else None

    def _await(self, verb: Verb) -> object:
        end_s = time.monotonic() + self._deadline_s
        while True:
            came, value = self._worker.receive(verb)
            if came:
                return value
            if self._worker.hung_up:
                return self._fail(ErrorCode.DIED, f"it died in {verb}{self._arena.last_words()}")
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                return self._fail(ErrorCode.DEADLINE, f"no answer in {self._deadline_s:g} s")
            self._worker.flush()
            writing = [self._worker.streams.to_worker] if self._worker.wants_room else []
            select.select([self._worker.streams.from_worker], writing, [], left_s)

    def _fail(self, code: ErrorCode, message: str) -> BackendError:
        self._failure = BackendError(code, message)
        return self._failure

    def learn_pid(self) -> int:
        """Its process id, from the nursery's news (all of which are then taken)."""
        for news in self._arena.news():
            if news.get("started") == self.part.process:
                self._worker.pid = news["pid"]
        return self.pid

    def leave(self) -> bool:
        """Let it exit at the end of its input; whether it did, in time and by itself."""
        os.close(self._worker.streams.to_worker)
        went = await_true(self._has_left, EXIT_GRACE_S)
        os.close(self._worker.streams.from_worker)
        return went

    def _has_left(self) -> bool:
        self._worker.drain()
        return self._worker.hung_up


def await_true(reached: Callable[[], bool], patience_s: float) -> bool:
    """Poll until something is so; whether it came to be in time."""
    end_s = time.monotonic() + patience_s
    while not reached():
        if time.monotonic() >= end_s:
            return False
        time.sleep(0.002)
    return True


def _nothing() -> Role:
    yield from ()
