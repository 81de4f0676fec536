"""Moves of the sequential machine, and the workers that make them under the eyes of the model.

Rule 1: a sequence is drawn whole; a move takes its numbers modulo what there is, and one that finds
        nothing to do is none. So no draw depends on what the backend does.
Rule 2: one worker acts at a time, and every answer is judged before the next move.
Rule 3: each sequence has a root of its own. Workers that live on open the new one; after a breach
        none does.
Rule 4: at the end every key is looked up and everything that is held is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from hypothesis import strategies as st
from untorn_conformance import moves
from untorn_conformance.backend import BytesMeaning, Collected, Verb
from untorn_conformance.contract import Capability
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.eviction import Asked
from untorn_conformance.farm import Farm
from untorn_conformance.holdings import FRAME_BYTES, PAYLOAD_BYTES, room_for
from untorn_conformance.model import Model
from untorn_conformance.suite.drawing import any_of, numbers
from untorn_conformance.worlds import SLACK_S, BreachError, Content, Promises
from untorn_stress.worker import Worker

WORKERS: Final = 3
LABELS: Final = "abc"
MIN_AGE_S: Final = 3600.0
ROOMS: Final = (0, 1, 2, 0)
"""For how many entries a budget has room; there are seldom more than two."""
_OWED: Final = {
    Verb.STAGE: "P5",
    Verb.PUBLISH: "P5",
    Verb.ABANDON: "P5",
    Verb.LOOKUP: "R6",
    Verb.READ: "R1",
    Verb.RELEASE: "R1",
    Verb.COLLECT: "G2",
}
"""The row that says what each verb answers instead of an error."""


class Act(StrEnum):
    """What a move does; ``idle`` is none, and what every move shrinks to."""

    IDLE = "idle"
    LOOK = "look"
    WRITE = "write"
    COLLECT = "collect"
    READ = "read"
    RELEASE = "release"
    AGE = "age"
    STAGE = "stage"
    PUBLISH = "publish"
    ABANDON = "abandon"
    DRY_RUN = "dry-run"
    KILL = "kill"
    REOPEN = "reopen"


_OFTEN: Final = (Act.LOOK, Act.WRITE, Act.WRITE, Act.COLLECT, Act.AGE, Act.READ)
ACTS: Final = (*Act, *_OFTEN, *_OFTEN, *_OFTEN, Act.RELEASE)
"""What is drawn from: what fills and empties the cache often; a new worker takes long to start."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """One move: ``pick`` says which handle, budget or age."""

    act: Act
    worker: int
    label: str
    pick: int


def sequences(moves_max: int) -> st.SearchStrategy[tuple[Move, ...]]:
    """Any sequence of at most so many moves."""
    move = st.builds(
        Move, act=any_of(ACTS), worker=numbers(WORKERS), label=any_of("abcaab"), pick=numbers(8)
    )
    drawn = st.tuples(*[move] * moves_max)
    return drawn.map(lambda all_: tuple(each for each in all_ if each.act is not Act.IDLE))


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A breach, after how many moves, and what was asked and answered up to it, a line each."""

    breach: BreachError
    moves: int
    lines: tuple[str, ...]


class Stage:
    """Where sequences are played. ``collected`` counts the collects that did their work."""

    def __init__(self, farm: Farm, clock: Callable[[], float] = time.monotonic) -> None:
        self._farm = farm
        self._clock = clock
        self._workers: list[Worker | None] = [None] * WORKERS
        self._files: dict[str, list[dict[str, str]]] = {}
        self._resolution_s = farm.hello.limits.recency_resolution_s
        self._promises = Promises(
            leases=Capability.LEASE in farm.hello.capabilities,
            recency_resolution_s=self._resolution_s,
            reap_grace_s=farm.hello.limits.reap_grace_s,
            payload_bytes=PAYLOAD_BYTES,
            weighs=farm.hello.limits.bytes_meaning is BytesMeaning.ST_SIZE,
        )
        self._model = Model(self._promises)
        self._lines: list[str] = []
        self._written = 0
        self.collected = 0
        self.doubt = ""

    def play(self, sequence: tuple[Move, ...]) -> Told | None:
        """Play it in a fresh root; what it breaks, or None."""
        if self.doubt:
            return None
        began_s, made = self._clock(), 0
        try:
            self._begin()
            for made, move in enumerate(sequence, start=1):  # noqa: B007 (told of a breach)
                self._make(move)
            self._look_around()
        except BreachError as breach:
            self._end_all()
            if self._clock() - began_s > SLACK_S:  # then ages are not what the model takes them for
                self.doubt = f"a sequence took longer than {SLACK_S:g} s"
                return None
            return Told(breach=breach, moves=made, lines=tuple(self._lines))
        except BackendError as error:
            if error.code is not ErrorCode.DEADLINE:
                raise
            self.doubt = str(error)
        return None

    # --- workers

    def _begin(self) -> None:
        self._farm.begin_anew()
        self._model = Model(self._promises)
        self._lines, self._written = [], 0
        for worker in filter(None, self._workers):
            self._open(worker)

    def _open(self, worker: Worker) -> None:
        worker.call(Verb.CLOSE)
        worker.call(Verb.OPEN, root=str(self._farm.root), env={}, clock_offset_s=0.0)

    def _worker(self, number: int) -> Worker:
        known = self._workers[number]
        if known is None:
            known = self._workers[number] = self._farm.worker()
        return known

    def _end_all(self) -> None:
        for worker in filter(None, self._workers):
            worker.kill_tree()
        self._workers = [None] * WORKERS

    def _ask(self, number: int, verb: Verb, said: str, **args: Any) -> Any:
        """Ask a worker, and note what it answers; an error is a breach of what it owes."""
        line = f"{_name(number)}: {verb} {said}".rstrip()
        self._lines.append(line)
        with owing(verb):
            answer = self._worker(number).call(verb, **args)
        self._lines[-1] = line if answer is None else f"{line} -> {answer}"
        return answer

    # --- moves

    def _make(self, move: Move) -> None:
        number, worker = move.worker, _name(move.worker)
        stagings, handles = self._model.stagings(worker), self._model.handles(worker)
        match move.act:
            case Act.LOOK:
                self._look(number, move.label)
            case Act.WRITE:
                self._publish(number, self._stage(number, move.label))
            case Act.STAGE:
                self._stage(number, move.label)
            case Act.COLLECT | Act.DRY_RUN:
                self._collect(move)
            case Act.AGE:
                self._age(move.pick)
            case Act.KILL:
                self._kill(number)
            case Act.REOPEN:
                self._reopen(number)
            case Act.PUBLISH if stagings:
                self._publish(number, stagings[move.pick % len(stagings)])
            case Act.ABANDON if stagings:
                self._abandon(number, stagings[move.pick % len(stagings)])
            case Act.READ if handles:
                self._read(number, handles[move.pick % len(handles)])
            case Act.RELEASE if handles:
                self._release(number, handles[move.pick % len(handles)])

    def _stage(self, number: int, label: str) -> str:
        self._written += 1
        writer = f"{label}{self._written}"
        contents = moves.frames(writer, size_bytes=FRAME_BYTES)
        if writer not in self._files:
            self._files[writer] = self._farm.files(contents)
        key, files = moves.key(label), self._files[writer]
        handle = str(self._ask(number, Verb.STAGE, writer, key=key, files=files).handle)
        digests = tuple(moves.digests(contents.values()))
        content = Content(writer=writer, files=tuple(contents), digests=digests)
        self._model.staged(_name(number), handle, label, content)
        return handle

    def _publish(self, number: int, handle: str) -> None:
        answer = self._ask(number, Verb.PUBLISH, handle, handle=handle)
        assert isinstance(answer, moves.Outcome)
        self._model.published(_name(number), handle, answer)

    def _abandon(self, number: int, handle: str) -> None:
        self._ask(number, Verb.ABANDON, handle, handle=handle)
        self._model.abandoned(_name(number), handle)

    def _look(self, number: int, label: str) -> None:
        answer = self._ask(number, Verb.LOOKUP, label, key=moves.key(label))
        self._model.looked_up(_name(number), label, answer)

    def _read(self, number: int, handle: str) -> None:
        for index in range(self._model.files(_name(number), handle)):
            answer = self._ask(number, Verb.READ, f"{handle} {index}", handle=handle, index=index)
            self._model.read(_name(number), handle, index, answer)

    def _release(self, number: int, handle: str) -> None:
        self._ask(number, Verb.RELEASE, handle, handle=handle)
        self._model.released(_name(number), handle)

    def _collect(self, move: Move) -> None:
        room, dry_run = ROOMS[move.pick % len(ROOMS)], move.act is Act.DRY_RUN
        asked = Asked(
            room=room,
            budget_bytes=room_for(room) if room else 0,
            min_age_s=MIN_AGE_S if move.pick >= 6 else 0.0,
            dry_run=dry_run,
        )
        said = f"room for {room}, min_age {asked.min_age_s:g} s{', dry run' * dry_run}"
        answer = self._ask(
            move.worker,
            Verb.COLLECT,
            said,
            budget_bytes=asked.budget_bytes,
            min_age_s=asked.min_age_s,
            dry_run=dry_run,
        )
        self.collected += isinstance(answer, Collected)
        self._model.collected(asked, answer)

    def _age(self, pick: int) -> None:
        """By so much that recency tells before from after, or beyond any min_age."""
        seconds = 2 * MIN_AGE_S if pick % 4 == 3 else 2 * self._resolution_s + 3 * SLACK_S
        self._lines.append(f"everything becomes {seconds:g} s older")
        self._farm.age(seconds)
        self._model.age(seconds)

    def _kill(self, number: int) -> None:
        worker = self._workers[number]
        if worker is not None:
            self._lines.append(f"{_name(number)} is killed")
            worker.kill()
            self._workers[number] = None
            self._model.ended(_name(number), killed=True)

    def _reopen(self, number: int) -> None:
        worker = self._workers[number]
        if worker is not None:
            self._lines.append(f"{_name(number)} closes and opens")
            self._open(worker)
            self._model.ended(_name(number), killed=False)

    def _look_around(self) -> None:
        for number in range(WORKERS):
            for handle in self._model.handles(_name(number)):
                self._read(number, handle)
                self._release(number, handle)
        for label in LABELS:
            self._look(0, label)
            for handle in self._model.handles(_name(0)):
                self._read(0, handle)
                self._release(0, handle)


def _name(number: int) -> str:
    return "ABC"[number]


@contextmanager
def owing(verb: Verb) -> Iterator[None]:
    """An error in the place of an answer is a breach; a passed deadline says nothing."""
    try:
        yield
    except BackendError as error:
        if error.code in {ErrorCode.DEADLINE, ErrorCode.PROTOCOL}:
            raise
        raise BreachError(_OWED[verb], f"{verb} ended in an error: {error}") from error
