"""What the fast judges find out by counting and bisecting, by looking at every operation instead.

Quadratic, and as short as its definitions: the model that the fast ones are compared with.
"""

from __future__ import annotations

from collections import Counter

from untorn_conformance.checkers.storm.timeline import Timeline
from untorn_conformance.checkers.storm.violation import FOREVER
from untorn_conformance.counters import Family
from untorn_conformance.history import Op, OpOutcome, Round

_GIVE = {OpOutcome.HIT, OpOutcome.PUBLISHED, OpOutcome.ADOPTED, OpOutcome.UNPUBLISHED}


def is_alone(timeline: Timeline, collect: Op) -> bool:
    """Whether nothing was under way beside a collect, and no handle held when it began."""
    return not any(
        op.began_ns <= collect.ended_ns and _over(timeline, op) >= collect.began_ns
        for op in timeline.ops
        if op is not collect
    )


def _over(timeline: Timeline, op: Op) -> int:
    """When an operation was over, and the handle that it gave was let go."""
    if op.outcome not in _GIVE:
        return timeline.end(op)
    for other in timeline.ops:
        if other.via == op.id and other.verb == "release" and other.outcome is OpOutcome.DONE:
            return other.ended_ns
    return timeline.deaths.get(op.process, FOREVER)


def counters(round_: Round, stats: Op) -> Counter[str]:
    """What a process that never opened again was answered before it was asked for its counters."""
    due: Counter[str] = Counter()
    for op in round_.ops[: stats.id]:
        if op.process != stats.process:
            continue
        if op.outcome in (OpOutcome.HIT, OpOutcome.PUBLISHED, OpOutcome.ADOPTED):
            due[op.outcome.value] += 1
        elif op.outcome is OpOutcome.UNPUBLISHED:
            due[Family.UNPUBLISHED.value] += 1
        elif op.outcome is OpOutcome.MISS:
            due[Family.MISS.of(op.reason)] += 1
    return due
