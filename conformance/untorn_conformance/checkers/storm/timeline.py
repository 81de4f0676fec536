"""A round, sorted once: who was handed what, which version it was, how long it was held.

Rule 1: an operation happens at one moment of the closed interval from its asking to its answer.
Rule 2: one without an answer, or with one that says nothing of its effect, may happen until its
        process has ended; where that left processes below it alive, or no end is known, for ever.
Rule 3: a handle's version is that of the first bytes read through it.
Rule 4: with leases a handle holds its entry until its release (or close) is asked for; whoever
        never asks holds it as long as its process gave signs of life.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from typing import Final

from untorn_conformance.backend import Verb
from untorn_conformance.checkers.storm.troubles import Troubles
from untorn_conformance.checkers.storm.violation import FOREVER, Deadline
from untorn_conformance.contract import Capability
from untorn_conformance.errors import ERROR_KINDS, ErrorCode
from untorn_conformance.history import Op, OpOutcome, Round

_UNKNOWN_TO_US: Final = frozenset(
    code.value for code in ErrorCode if not ERROR_KINDS[code].definite
)
"""Errors that do not say whether the operation had an effect."""

_RESTARTS: Final = frozenset({Verb.OPEN.value, Verb.CLOSE.value})
_ENDED_NS: Final = attrgetter("ended_ns")
_RELEASE: Final = Verb.RELEASE.value
_MADE: Final = (
    OpOutcome.PUBLISHED,
    OpOutcome.ADOPTED,
    OpOutcome.UNPUBLISHED,
    OpOutcome.UNCACHED,
)
_LOST: Final = (OpOutcome.EVICTED, OpOutcome.DAMAGED)
_MAKES: Final = frozenset({Verb.PUBLISH.value, Verb.EXTRACT.value})


class Timeline:
    """The operations of a round by what they came to; built once, read by every judge.

    ``odd`` are reads whose bytes are not of their handle's version or not of their frame;
    ``misplaced`` those that showed that their handle's version is of another key. ``shown`` is the
    first read of each handle, by the id of the operation that gave it, ``versions`` whose it was;
    ``releases`` the release that it was given up with. ``failed`` is what has no answer, or an
    error; ``others`` what was done, or skipped, and is in no other list. ``bytes_read`` counts the
    reads that gave bytes, ``asked_before`` what had been asked before each collect, of what can
    protect entries.
    """

    def __init__(self, round_: Round, deadline: Deadline) -> None:
        self.round = round_
        self.start = round_.start
        self.ops = round_.ops
        self.deadline = deadline
        self.troubles = Troubles(round_)
        self.leases = Capability.LEASE.value in round_.start.capabilities
        self.counts = Capability.STATS.value in round_.start.capabilities
        self.deaths = {
            each.process: FOREVER if each.leaves_children else each.at_ns for each in round_.deaths
        }
        self._killed = {each.process: each.at_ns for each in round_.deaths if each.asked}
        self.shown: dict[int, Op] = {}
        self.versions: dict[int, str] = {}
        self.releases: dict[int, Op] = {}
        self.odd: list[Op] = []
        self.misplaced: list[Op] = []
        self.lost: list[Op] = []
        self.hits: list[Op] = []
        self.misses: list[Op] = []
        self.made: list[Op] = []
        self.stages: list[Op] = []
        self.collects: list[Op] = []
        self.counted: list[Op] = []
        self.others: list[Op] = []
        self.errors: list[Op] = []
        self.unanswered: list[Op] = []
        self.ages: list[Op] = []
        self.asked_before: dict[int, int] = {}
        self.bytes_read = 0
        self._restarted: dict[str, list[int]] = {}
        self._alive: dict[str, int] = {}
        self._sort()
        self.failed = (*self.unanswered, *self.errors)
        parts = (self.hits, self.made, self.others, self.failed)
        self.extracts = [op for part in parts for op in part if op.verb == Verb.EXTRACT]
        self.asked = self._asked()

    def _sort(self) -> None:
        """Put each operation where it belongs, in one pass."""
        places = self._places()
        for chunk in self.deadline.chunks(self.ops):
            self._sort_chunk(chunk, places)

    def _places(self) -> Mapping[OpOutcome | None, Callable[[Op], None]]:
        """What takes in an operation that gave no bytes, by its outcome."""
        places: dict[OpOutcome | None, Callable[[Op], None]] = {
            OpOutcome.HIT: self.hits.append,
            OpOutcome.MISS: self.misses.append,
            OpOutcome.STAGED: self.stages.append,
            OpOutcome.COLLECTED: self._take_collect,
            OpOutcome.SKIPPED: self.others.append,
            OpOutcome.COUNTED: self.counted.append,
            OpOutcome.DONE: self._take_done,
            OpOutcome.ERROR: self._take_failed,
            None: self._take_failed,
        }
        places.update(dict.fromkeys(_MADE, self.made.append))
        places.update(dict.fromkeys(_LOST, self.lost.append))
        return places

    def _sort_chunk(
        self, ops: Sequence[Op], places: Mapping[OpOutcome | None, Callable[[Op], None]]
    ) -> None:
        """Most are reads, and most of those give what the handle's first gave: the shortest way."""
        read, version_of, odd = OpOutcome.READ, self.versions.get, self.odd
        shown, versions, every = self.shown, self.versions, self.ops
        reads = len(ops)
        for op in ops:
            if op.outcome is not read:
                reads -= 1
                places[op.outcome](op)
                continue
            seen, via = op.seen, op.via
            if seen is None or seen.index != op.index:
                odd.append(op)
                continue
            version = version_of(via)
            if version is None:  # the first bytes that were read through a handle tell whose it is
                shown[via] = op
                versions[via] = seen.version
                if via >= 0 and every[via].key != seen.key:
                    self.misplaced.append(op)
            elif version != seen.version:
                odd.append(op)
        self.bytes_read += reads

    def _take_collect(self, op: Op) -> None:
        self.asked_before[op.id] = sum(map(len, self._protecting()))
        self.collects.append(op)

    def _protecting(self) -> tuple[list[Op], ...]:
        """All but reads and releases: while one of those is under way, a handle is held."""
        answered = (self.hits, self.made, self.misses, self.stages, self.collects, self.counted)
        return *answered, self.lost, self.others, self.unanswered, self.errors

    def _take_done(self, op: Op) -> None:
        if op.verb == _RELEASE:
            self.releases[op.via] = op
            return
        self.others.append(op)
        self._take_change(op)

    def _take_failed(self, op: Op) -> None:
        (self.unanswered if op.outcome is None else self.errors).append(op)
        if op.verb == _RELEASE:
            self.releases.setdefault(op.via, op)
        self._take_change(op)

    def _take_change(self, op: Op) -> None:
        """What changes a process, or the times of all, whether it was told that it did or not."""
        if op.verb in _RESTARTS:
            self._restarted.setdefault(op.process, []).append(op.began_ns)
        elif op.verb == Verb.AGE:
            self.ages.append(op)

    def _asked(self) -> dict[str, Op]:
        """The operation that was to make each version visible."""
        failed = (op for op in self.failed if op.verb in _MAKES)
        return {op.version: op for op in chain(self.made, failed) if op.version}

    # --- what others ask

    def end(self, op: Op) -> int:
        """The last moment at which the operation can have had an effect."""
        if op.outcome is None or (op.outcome is OpOutcome.ERROR and op.reason in _UNKNOWN_TO_US):
            return max(op.ended_ns, self.deaths.get(op.process, FOREVER))
        return op.ended_ns

    def killed_at(self, process: str) -> int:
        """When we killed the process, or before everything if we did not."""
        return min(self._killed.get(process, -FOREVER), self.troubles.killed_from(process))

    def held_until(self, op: Op) -> int:
        """Until when the handle that this operation gave certainly was held."""
        release = self.releases.get(op.id)
        until = self._last_sign(op.process) if release is None else release.began_ns
        restarts = self._restarted.get(op.process)
        if restarts is not None and restarts[-1] >= op.ended_ns:
            until = min(until, *(at for at in restarts if at >= op.ended_ns))
        return until

    def _last_sign(self, process: str) -> int:
        """The last beginning of what a process answered, but for reads, misses and stages."""
        if not self._alive:
            some = (self.hits, self.made, self.others, self.lost, self.collects, self.counted)
            for op in chain(*some, self.releases.values()):
                if op.is_answered and op.began_ns > self._alive.get(op.process, -FOREVER):
                    self._alive[op.process] = op.began_ns
        return self._alive[process]

    def over_ns(self) -> Iterator[int]:
        """When each of those that protect anything was over, a handle with its release."""
        hits, made, *answered, unanswered, errors = self._protecting()
        for some in (hits, made):
            yield from self._let_go(some)
        for some in answered:
            yield from map(_ENDED_NS, some)
        for some in (unanswered, errors):
            yield from map(self.end, some)

    def _let_go(self, gave: Iterable[Op]) -> list[int]:
        """By when each handle that these operations gave certainly was held no more."""
        releases, deaths, done = self.releases.get, self.deaths.get, OpOutcome.DONE
        return [
            release.ended_ns
            if (release := releases(op.id)) is not None and release.outcome is done
            else deaths(op.process, FOREVER)
            for op in gave
        ]

    def is_untroubled(self, op: Op) -> bool:
        """Whether no calls of it were made to fail, and no files taken from under it."""
        return not self.troubles.afflict(op.began_ns, self.end(op))

    def version_of(self, op: Op) -> str:
        """The version whose bytes the handle of this operation gave, ``""`` if it was not read."""
        return self.versions.get(op.id, "")

    def staged_at(self, version: str) -> int:
        """When work on a version began; before everything for one that was there at the start."""
        asked = self.asked.get(version)
        if asked is None:
            return -FOREVER
        return self.ops[asked.via].began_ns if asked.via >= 0 else asked.began_ns
