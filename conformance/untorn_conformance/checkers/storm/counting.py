"""H8: the counters of a process equal what it was answered [stats].

Rule 1: hits, misses by reason, published, adopted and unpublished equal the answers since open.
Rule 2: evicted entries, freed bytes, reaped stagings and skips equal those of its collects; at
        least those, where it staged: a cache may collect by itself when it writes.

Not judged: a process that was asked while calls failed or files went, or that has an operation
without an answer, or with an error, before: what it counted of that is its own; one that extracts.
Counters that no answer shows (degraded, flight, verify failures).
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from untorn_conformance.backend import Verb
from untorn_conformance.checkers.storm.timeline import Timeline
from untorn_conformance.checkers.storm.violation import Violation
from untorn_conformance.counters import Counter, Family
from untorn_conformance.history import Op, OpOutcome

_BY_OUTCOME: Final[Mapping[OpOutcome | None, str]] = {
    OpOutcome.HIT: Counter.HIT.value,
    OpOutcome.PUBLISHED: Counter.PUBLISHED.value,
    OpOutcome.ADOPTED: Counter.ADOPTED.value,
    OpOutcome.UNPUBLISHED: Family.UNPUBLISHED.value,
}
_OF_COLLECTS: Final = (Counter.EVICTED.value, Counter.FREED_BYTES.value, Counter.REAPED.value)
_UNSETTLED: Final = (None, OpOutcome.ERROR)


@dataclass(slots=True)
class _Process:
    """What a process was answered since it opened."""

    since_ns: int = 0
    answered: Tally[str] = field(default_factory=Tally)
    is_settled: bool = True
    writes: bool = False
    until_ns: int = 0


def judge_counters(timeline: Timeline) -> Iterator[Violation]:
    """H8: judge every answer of stats."""
    if not timeline.counts:
        return
    judged = {op.process for op in timeline.counted}
    if not judged:
        return
    processes = {name: _Process() for name in judged}
    for chunk in timeline.deadline.chunks(timeline.ops):
        for op in chunk:
            if op.process not in judged:
                continue
            process = processes[op.process]
            if op.verb == Verb.OPEN and op.outcome is OpOutcome.DONE:
                processes[op.process] = _Process(since_ns=op.began_ns)
            elif op.outcome is OpOutcome.COUNTED:
                yield from _judge(timeline, process, op)
            else:
                _count(process, op)


def _count(process: _Process, op: Op) -> None:
    outcome, answered = op.outcome, process.answered
    process.until_ns = max(process.until_ns, op.ended_ns)
    if outcome in _UNSETTLED or op.verb == Verb.EXTRACT:
        process.is_settled = False
    elif outcome is OpOutcome.STAGED:
        process.writes = True
    elif outcome is OpOutcome.MISS:
        answered[Family.MISS.of(op.reason)] += 1
    elif outcome in _BY_OUTCOME:
        answered[_BY_OUTCOME[outcome]] += 1
    elif outcome is OpOutcome.SKIPPED:
        answered[Family.COLLECT_SKIPPED.of(op.reason)] += 1
    elif outcome is OpOutcome.COLLECTED and not op.numbers.get("dry_run"):
        for name in _OF_COLLECTS:
            answered[name] += int(op.numbers.get(name, 0))


def _judge(timeline: Timeline, process: _Process, op: Op) -> Iterator[Violation]:
    if not process.is_settled or process.until_ns > op.began_ns:
        return
    if timeline.troubles.afflict(process.since_ns, op.ended_ns):
        return
    told = _told(op.numbers)
    names = {name for name in (*told, *process.answered) if _is_judged(name)}
    for name in sorted(names):
        is_least = name in _OF_COLLECTS or name.startswith(Family.COLLECT_SKIPPED.of(""))
        told_n, due = told.get(name, 0), process.answered[name]
        if told_n < due or (told_n > due and not (is_least and process.writes)):
            yield Violation(
                checker="H8",
                requirements=("O1",),
                message=f"{op.process} counts {told_n:g} {name}, and was answered {due}",
                operations=(op.id,),
                at_ns=op.ended_ns,
            )


def _told(numbers: Mapping[str, float]) -> dict[str, float]:
    """The counters that were told, with all unpublished as one."""
    told: dict[str, float] = {}
    for name, number in numbers.items():
        is_unpublished = name.startswith(Family.UNPUBLISHED.of(""))
        counted = Family.UNPUBLISHED.value if is_unpublished else name
        told[counted] = told.get(counted, 0) + number
    return told


def _is_judged(name: str) -> bool:
    return (
        name in _BY_OUTCOME.values()
        or name in _OF_COLLECTS
        or name.startswith((Family.MISS.of(""), Family.COLLECT_SKIPPED.of("")))
    )
