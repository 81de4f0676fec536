"""H10: a publish that is refused though nothing failed.

Rule 1: an errno that no lone system call gives without a fault (EIO, EACCES, ...) needs a strike.
Rule 2: an errno that a race gives (ENOENT, EAGAIN, ...) needs a strike, or somebody else at work on
        the key, or a collect, while the publish runs: else the key holds something and is adopted,
        or it holds nothing and is published. Where a collect ran since the stage, a live writer's
        staging was swept (G4).
Rule 3: ``busy`` needs somebody else at work on the key, or holding something of it, or a collect,
        since the stage; who ended counts for the grace that the backend names.

Not flagged: what says that something is there already (P2 lets a loser be told so); errnos of a
machine that has no more of something, or of a file system that has no locks (N1); ``untrusted`` and
``too-large``; the first publish of a process after a strike: it may find out by that (D1); ``busy``
anywhere after a strike; rule 2 where the backend collects by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from itertools import chain
from typing import Final

from untorn_conformance.backend import UnpublishedReason, Verb
from untorn_conformance.checkers.storm.activity import Activity
from untorn_conformance.checkers.storm.timeline import Timeline
from untorn_conformance.checkers.storm.violation import FOREVER, Violation
from untorn_conformance.history import Op, OpOutcome

_TAKEN: Final = frozenset({"EEXIST", "ENOTEMPTY", "EISDIR", "ENOTDIR"})
_SCARCE: Final = frozenset({"ENOSPC", "EDQUOT", "ENOMEM", "ENFILE", "EMFILE"})
_LOCKLESS: Final = frozenset({"ENOLCK", "EOPNOTSUPP", "ENOTSUP", "ENOSYS"})
_RACED: Final = frozenset(
    {"ENOENT", "EAGAIN", "EWOULDBLOCK", "EBUSY", "EINTR", "ESTALE", "ETXTBSY", "EDEADLK"}
)
_BUSY: Final = UnpublishedReason.BUSY.value
_NEVER_JUDGED: Final = frozenset(
    {
        *_TAKEN,
        *_SCARCE,
        *_LOCKLESS,
        UnpublishedReason.UNTRUSTED.value,
        UnpublishedReason.TOO_LARGE.value,
    }
)
_WORKS: Final = frozenset(
    {Verb.LOOKUP.value, Verb.STAGE.value, Verb.PUBLISH.value, Verb.EXTRACT.value}
)
_ENDS: Final = frozenset({Verb.PUBLISH.value, Verb.ABANDON.value, Verb.RELEASE.value})
_NS: Final = 1_000_000_000


def judge_refusals(timeline: Timeline) -> Iterator[Violation]:
    """H10: judge every publish that was told unpublished."""
    refused = [
        op
        for op in timeline.made
        if op.outcome is OpOutcome.UNPUBLISHED
        and op.verb == Verb.PUBLISH
        and op.reason not in _NEVER_JUDGED
    ]
    if not refused:
        return
    tried = _tried_before(timeline, {op.process for op in refused})
    work, presence = Activity(timeline), Presence(timeline)
    for op in refused:
        staged_ns = timeline.ops[op.via].began_ns if op.via >= 0 else op.began_ns
        if op.reason == _BUSY:
            struck = timeline.troubles.any_until(op.ended_ns)
            excused = struck or presence.is_beside(op, staged_ns)
        else:
            since = min(staged_ns, tried[op.id])
            excused = timeline.troubles.afflict(since, op.ended_ns) or (
                op.reason in _RACED and _is_raced(timeline, work, op)
            )
        if not excused:
            yield _refused(timeline, op, staged_ns)


def _tried_before(timeline: Timeline, processes: Set[str]) -> Mapping[int, int]:
    """By publish of these: when its process was last asked to open or publish before it."""
    last: dict[str, int] = {}
    tried: dict[int, int] = {}
    for op in timeline.ops:
        if op.process not in processes:
            continue
        if op.verb == Verb.PUBLISH:
            tried[op.id] = last.get(op.process, op.began_ns)
            last[op.process] = op.began_ns
        elif op.verb == Verb.OPEN or op.process not in last:
            last[op.process] = op.began_ns
    return tried


def _is_raced(timeline: Timeline, work: Activity, op: Op) -> bool:
    return timeline.start.budget_bytes is not None or work.is_beside(op)


def _refused(timeline: Timeline, op: Op, staged_ns: int) -> Violation:
    collected = any(
        each.began_ns <= op.ended_ns and timeline.end(each) >= staged_ns
        for some in (timeline.collects, timeline.failed)
        for each in some
        if each.verb == Verb.COLLECT
    )
    swept = op.reason == "ENOENT" and collected
    why = "and a collect had run since it was staged" if swept else "and nothing had failed"
    if op.reason == _BUSY:
        why = "and nobody else was at work on it or held it"
    return Violation(
        checker="H10",
        requirements=("L2", "P5", "G4") if swept else ("L2", "P5"),
        message=f"key {op.key} was not published ({op.reason}), {why}",
        operations=tuple(sorted({op.via, op.id} - {-1})),
        at_ns=op.ended_ns,
    )


class Presence:
    """Who was at work on a key, or held something of it; gathered for the keys that are asked."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._spans: dict[str, list[tuple[int, int, int]]] = {}
        grace_s = timeline.start.limits.get("reap_grace_s")
        self._grace_ns = FOREVER if grace_s is None else int(grace_s * _NS)

    def is_beside(self, op: Op, since_ns: int) -> bool:
        """Whether anything but this work was there from ``since_ns`` to the operation's end."""
        if not self._spans:
            self._gather()
        return any(
            begin <= op.ended_ns and since_ns <= end
            for key in (op.key, "")
            for number, begin, end in self._spans.get(key, ())
            if number not in (op.id, op.via)
        )

    def _gather(self) -> None:
        timeline = self._timeline
        given_up = {
            op.via: op.ended_ns for op in timeline.ops if op.verb in _ENDS and op.is_answered
        }
        staged = (op for op in timeline.failed if op.verb == Verb.STAGE)
        gives = {op.id for op in chain(timeline.hits, timeline.made, timeline.stages, staged)}
        for op in timeline.ops:
            if op.verb == Verb.COLLECT:
                span = (op.id, op.began_ns, self._ended(op))
                self._spans.setdefault("", []).append(span)
            elif op.verb in _WORKS:
                ended = self._ended(op)
                if op.id in gives:
                    ended = given_up.get(op.id, self._gone(op.process))
                self._spans.setdefault(op.key, []).append((op.id, op.began_ns, ended))

    def _ended(self, op: Op) -> int:
        return op.ended_ns if self._timeline.end(op) == op.ended_ns else self._gone(op.process)

    def _gone(self, process: str) -> int:
        return min(self._timeline.deaths.get(process, FOREVER) + self._grace_ns, FOREVER)
