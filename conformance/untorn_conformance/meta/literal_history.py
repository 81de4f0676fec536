"""Short histories, written as they are told: who did what from when to when, and what came of it.

    told = Told(present={"b": "b0"})
    told.publish("w1", 1, 2, "a1")
    told.hit("r1", 3, 4, "a1")
    assert found(told) == {}

Times are in milliseconds, ``None`` for the end of what has no answer. A version's key is its first
letter. A hit of a version reads frame 0 at once, in the moment in which it ends.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from untorn_conformance.checkers.storm.judging import CHECKERS, judge
from untorn_conformance.history import (
    ARGUMENTS,
    Audit,
    Death,
    Excuse,
    Op,
    OpOutcome,
    Round,
    RoundStart,
    Seen,
    Strike,
)

MS = 1_000_000
FRAMES = 3


class Told:
    """A round while it is told. Options are those of its start; ``lease`` makes it hold."""

    def __init__(self, *, lease: bool = False, stats: bool = False, **start: Any) -> None:
        capabilities = ("lease",) * lease + ("stats",) * stats
        options = {"keys": ("a", "b"), "frames": FRAMES, "capabilities": capabilities, **start}
        self.start = RoundStart(number=1, seed=7, backend="literal", **options)
        self.ops: list[Op] = []
        self.strikes: list[Strike] = []
        self.deaths: list[Death] = []
        self.audit: Audit | None = Audit(at_ns=10**6 * MS)
        self._staged: dict[str, Op] = {}

    # --- any operation

    def op(self, process: str, begin: float, end: float | None, verb: str, **said: Any) -> Op:
        """An operation; numbers that are given by name are its numbers."""
        answered = end is not None
        if not answered and "numbers" in said:
            said["numbers"] = {k: v for k, v in said["numbers"].items() if k in ARGUMENTS}
        op = Op(
            id=len(self.ops),
            process=process,
            verb=verb,
            began_ns=int(begin * MS),
            ended_ns=int(end * MS) if end is not None else -1,
            **(said if answered else {k: v for k, v in said.items() if k in _ASKED}),
        )
        self.ops.append(op)
        return op

    # --- the verbs

    def stage(self, process: str, begin: float, end: float | None, version: str) -> Op:
        key = version[0]
        op = self.op(
            process, begin, end, "stage", key=key, version=version, outcome=OpOutcome.STAGED
        )
        self._staged[version] = op
        return op

    def publish(
        self,
        process: str,
        begin: float,
        end: float | None,
        version: str,
        outcome: OpOutcome = OpOutcome.PUBLISHED,
        reads: str | None = None,
        **said: Any,
    ) -> Op:
        """Staged a moment before, unless it was; ``reads`` is the version that the handle gives.

        Where nothing is published the disk was full, unless a reason is given.
        """
        if version not in self._staged:
            self.stage(process, begin - 0.5, begin - 0.25, version)
        via = self._staged[version].id
        asked: dict[str, Any] = {
            "key": version[0],
            "version": version,
            "via": via,
            "files": FRAMES,
        }
        if outcome is OpOutcome.UNPUBLISHED:
            asked["reason"] = "ENOSPC"
        op = self.op(process, begin, end, "publish", outcome=outcome, **{**asked, **said})
        if reads is not None and end is not None:
            self.read(process, end, end, op, reads)
        return op

    def hit(
        self,
        process: str,
        begin: float,
        end: float,
        version: str,
        key: str | None = None,
        **said: Any,
    ) -> Op:
        """A hit whose first frame is read at once; a version of ``""`` is not read."""
        asked = {"key": key or version[0], "files": FRAMES, **said}
        op = self.op(process, begin, end, "lookup", outcome=OpOutcome.HIT, **asked)
        if version:
            self.read(process, end, end, op, version)
        return op

    def miss(self, process: str, begin: float, end: float, key: str, reason: str = "absent") -> Op:
        return self.op(
            process, begin, end, "lookup", key=key, outcome=OpOutcome.MISS, reason=reason
        )

    def read(
        self,
        process: str,
        begin: float,
        end: float,
        via: Op,
        version: str | None,
        index: int = 0,
        gives: int | None = None,
        key: str | None = None,
        outcome: OpOutcome = OpOutcome.READ,
    ) -> Op:
        """A version of None: bytes that nobody wrote."""
        seen = None
        if version is not None and outcome is OpOutcome.READ:
            at = index if gives is None else gives
            seen = Seen(key=key or version[0], version=version, index=at)
        return self.op(
            process, begin, end, "read", via=via.id, index=index, seen=seen, outcome=outcome
        )

    def lost(self, process: str, begin: float, end: float, via: Op, outcome: OpOutcome) -> Op:
        return self.read(process, begin, end, via, None, outcome=outcome)

    def release(self, process: str, begin: float, end: float | None, via: Op) -> Op:
        return self.op(process, begin, end, "release", via=via.id, outcome=OpOutcome.DONE)

    def collect(
        self, process: str, begin: float, end: float | None, evicted: int = 1, **numbers: float
    ) -> Op:
        numbers = {"evicted": evicted, "min_age_s": 0.0, **numbers}
        return self.op(process, begin, end, "collect", outcome=OpOutcome.COLLECTED, numbers=numbers)

    def stats(self, process: str, begin: float, end: float, **counters: float) -> Op:
        numbers = {name.replace("__", "."): number for name, number in counters.items()}
        return self.op(process, begin, end, "stats", outcome=OpOutcome.COUNTED, numbers=numbers)

    def error(
        self, process: str, begin: float, end: float, verb: str, reason: str, **said: Any
    ) -> Op:
        return self.op(process, begin, end, verb, outcome=OpOutcome.ERROR, reason=reason, **said)

    # --- what happens besides

    def strike(
        self, begin: float, end: float | None, *excuses: Excuse, bit: bool = True, **said: Any
    ) -> None:
        ends = int(end * MS) if end is not None else -1
        self.strikes.append(
            Strike(
                name="strike",
                begin_ns=int(begin * MS),
                end_ns=ends,
                excuses=excuses,
                bit=bit,
                **said,
            )
        )

    def death(self, process: str, at: float, **said: Any) -> None:
        self.deaths.append(Death(process=process, at_ns=int(at * MS), **said))

    def audited(self, **said: Any) -> None:
        self.audit = Audit(at_ns=10**6 * MS, **said)

    def cut_short(self) -> None:
        self.audit = None

    @property
    def round(self) -> Round:
        """All of it, in the order in which it was asked."""
        order = sorted(self.ops, key=lambda op: (op.began_ns, op.id))
        places = {op.id: place for place, op in enumerate(order)} | {-1: -1}
        return Round(
            start=self.start,
            ops=tuple(replace(op, id=places[op.id], via=places[op.via]) for op in order),
            strikes=tuple(self.strikes),
            deaths=tuple(self.deaths),
            audit=self.audit,
        )


_ASKED = {"key", "via", "version", "index", "numbers"}


def found(told: Told) -> dict[str, set[str]]:
    """What the checkers find: checker, then the rows of all its violations."""
    rows: dict[str, set[str]] = {}
    for each in judge(told.round).violations:
        assert {*each.requirements} <= {*CHECKERS[each.checker].requirements}
        rows.setdefault(each.checker, set()).update(each.requirements)
    return rows
