"""H4 stable read: what a handle no longer gives.

Rule 1: with leases, what was handed out reads until it is released, whoever collects or publishes.
Rule 2: without them, a read may be told ``evicted`` where something may have been removed since the
        handle was given, and never else.
Rule 3: what was not published reads until released: it is the caller's own.

That a held entry is missed or replaced is H4 too, and found where lives are compared (`replaced`).

Not flagged: a read while calls failed, or of what a strike may have harmed; without leases,
``damaged`` where something may have been removed: it may be half gone.
"""

from __future__ import annotations

from collections.abc import Iterator

from untorn_conformance.checkers.storm.judged import Judged
from untorn_conformance.checkers.storm.removals import Removals
from untorn_conformance.checkers.storm.timeline import Timeline
from untorn_conformance.checkers.storm.violation import Violation
from untorn_conformance.history import Op, OpOutcome


def judge_held(timeline: Timeline, removals: Removals, judged: Judged) -> Iterator[Violation]:
    """Judge every read that gave no bytes; those that gave some are as they should be."""
    judged.count("H4", timeline.bytes_read)
    for chunk in timeline.deadline.chunks(timeline.lost):
        for op in chunk:
            if op.via < 0:
                continue
            source = timeline.ops[op.via]
            version = _version(timeline, source, op)
            troubles, born = timeline.troubles, timeline.staged_at(version)
            begin = min(source.began_ns, born) if source.version else source.began_ns
            if troubles.refuses.overlap(begin, op.ended_ns):
                continue
            if troubles.harmed_from(born) <= op.ended_ns:
                continue
            judged.count("H4")
            found = _judge(timeline, removals, source, op, version)
            if found is not None:
                yield found


def _version(timeline: Timeline, source: Op, lost: Op) -> str:
    """What the handle read until then; ``""`` stands for what may have been there for ever.

    Without leases it may find other files later than those that it lost.
    """
    if source.outcome in (OpOutcome.PUBLISHED, OpOutcome.UNPUBLISHED):
        return source.version
    first = timeline.shown.get(source.id)
    if first is None or not (timeline.leases or first.id < lost.id):
        return ""
    return timeline.version_of(source)


def _judge(
    timeline: Timeline, removals: Removals, source: Op, op: Op, version: str
) -> Violation | None:
    told = f"frame {op.index} of key {source.key} was answered {op.outcome}"
    if source.outcome in (OpOutcome.UNPUBLISHED, OpOutcome.UNCACHED):
        row, why = "P5", "the caller lost its own frames"
    elif timeline.leases:
        row, why = "R4", f"though {op.process} holds it since its {source.verb}"
    elif removals.soonest(version, source.began_ns) > op.ended_ns:
        safe = removals.soonest(version, source.began_ns, by_age=False) <= op.ended_ns
        row = "G3" if safe else "R1"
        why = "and nothing may have removed it"
    else:
        return None
    first = timeline.shown.get(source.id)
    ids = {source.id, op.id} | ({first.id} if first is not None else set())
    return Violation(
        checker="H4",
        requirements=(row,),
        message=f"{told}, {why}",
        operations=tuple(sorted(ids)),
        at_ns=op.ended_ns,
    )
