"""A round, sorted once: who was handed what, which version it was, how long it was held.

Rule 1: an operation happens at one moment of the closed interval from its asking to its answer.
Rule 2: one without an answer, or with one that says nothing of its effect, may happen until its
        process has ended; where that left processes below it alive, or no end is known, for ever.
Rule 3: a handle's version is that of the first bytes read through it.
Rule 4: with leases a handle holds its entry until its release (or close) is asked for; whoever
        never asks holds it as long as its process gave signs of life.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from untorn_conformance.backend import Verb
from untorn_conformance.checkers.storm.troubles import Troubles
from untorn_conformance.checkers.storm.violation import FOREVER, Deadline
from untorn_conformance.contract import Capability
from untorn_conformance.errors import ERROR_KINDS, ErrorCode
from untorn_conformance.history import Op, OpOutcome, Round, Seen

_UNKNOWN_TO_US: Final = frozenset(
    code.value for code in ErrorCode if not ERROR_KINDS[code].definite
)
"""Errors that do not say whether the operation had an effect."""

_RESTARTS: Final = frozenset({Verb.OPEN.value, Verb.CLOSE.value})
_MAKES: Final = frozenset({Verb.PUBLISH.value, Verb.EXTRACT.value})


class Timeline:
    """The operations of a round by what they came to; built once, read by every judge.

    ``odd`` are reads whose bytes are not of their handle's version or not of their frame;
    ``misplaced`` those that showed that their handle's version is of another key. ``shown`` is the
    first read of each handle, by the id of the operation that gave it, ``versions`` whose it was.
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
        self.odd: list[Op] = []
        self.misplaced: list[Op] = []
        self.lost: list[Op] = []
        self.hits: list[Op] = []
        self.misses: list[Op] = []
        self.made: list[Op] = []
        self.stages: list[Op] = []
        self.collects: list[Op] = []
        self.counted: list[Op] = []
        self.errors: list[Op] = []
        self.unanswered: list[Op] = []
        self.ages: list[Op] = []
        self.versions: dict[int, str] = {}
        self._done: list[Op] = []
        self._let_go: dict[int, int] = {}
        self._restarted: dict[str, list[int]] = {}
        self._alive: dict[str, int] = {}
        for chunk in deadline.chunks(round_.ops):
            self._sort_reads_first(chunk)
        parts = (self.hits, self.made, self._done, self.unanswered, self.errors)
        self.extracts = [op for part in parts for op in part if op.verb == Verb.EXTRACT]
        self.asked = self._asked()

    def _sort_reads_first(self, ops: Sequence[Op]) -> None:
        """Put each operation where it belongs; the most frequent outcomes get the shortest way."""
        read, hit, done = OpOutcome.READ, OpOutcome.HIT, OpOutcome.DONE
        known, odd = self.versions.get, self.odd
        hits, alive, let_go = self.hits, self._alive, self._let_go
        staged, miss = OpOutcome.STAGED, OpOutcome.MISS
        published, adopted = OpOutcome.PUBLISHED, OpOutcome.ADOPTED
        stages, made, misses = self.stages, self.made, self.misses
        release = Verb.RELEASE.value
        for op in ops:
            outcome = op.outcome
            if outcome is read:
                seen = op.seen
                if seen is None or seen.index != op.index:
                    odd.append(op)
                    continue
                version = known(op.via)
                if version is None:
                    self._show(op, seen)
                elif version != seen.version:
                    odd.append(op)
            elif outcome is hit:
                hits.append(op)
                alive[op.process] = op.began_ns
            elif outcome is done and op.verb == release:
                let_go[op.via] = op.began_ns
                alive[op.process] = op.began_ns
            elif outcome is staged:
                stages.append(op)
            elif outcome is published or outcome is adopted:
                made.append(op)
                alive[op.process] = op.began_ns
            elif outcome is miss:
                misses.append(op)
            else:
                self._sort(op)

    def _show(self, op: Op, seen: Seen) -> None:
        """The first bytes that were read through a handle tell whose it is."""
        self.shown[op.via] = op
        self.versions[op.via] = seen.version
        if op.via >= 0 and self.ops[op.via].key != seen.key:
            self.misplaced.append(op)

    def _sort(self, op: Op) -> None:
        outcome = op.outcome
        if outcome is None or outcome is OpOutcome.ERROR:
            self._sort_failed(op)
            return
        self._alive[op.process] = op.began_ns
        if outcome is OpOutcome.UNPUBLISHED or outcome is OpOutcome.UNCACHED:
            self.made.append(op)
        elif outcome is OpOutcome.EVICTED or outcome is OpOutcome.DAMAGED:
            self.lost.append(op)
        elif outcome is OpOutcome.COLLECTED:
            self.collects.append(op)
        elif outcome is OpOutcome.COUNTED:
            self.counted.append(op)
        elif op.verb in _RESTARTS:
            self._restarted.setdefault(op.process, []).append(op.began_ns)
        elif op.verb == Verb.AGE:
            self.ages.append(op)
        else:
            self._done.append(op)

    def _sort_failed(self, op: Op) -> None:
        if op.outcome is None:
            self.unanswered.append(op)
        else:
            self.errors.append(op)
        if op.verb == Verb.RELEASE:
            self._let_go[op.via] = op.began_ns
        elif op.verb in _RESTARTS:
            self._restarted.setdefault(op.process, []).append(op.began_ns)
        elif op.verb == Verb.AGE:
            self.ages.append(op)
        elif op.verb == Verb.STAGE:
            self.stages.append(op)

    def _asked(self) -> dict[str, Op]:
        """The operation that was to make each version visible."""
        failed = (op for op in (*self.unanswered, *self.errors) if op.verb in _MAKES)
        return {op.version: op for op in (*self.made, *failed) if op.version}

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
        until = self._let_go.get(op.id)
        if until is None:
            until = self._alive[op.process]
        if self._restarted and op.process in self._restarted:
            later = [at for at in self._restarted[op.process] if at >= op.ended_ns]
            until = min([until, *later])
        return until

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
