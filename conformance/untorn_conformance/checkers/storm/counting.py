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
from operator import attrgetter
from typing import Final

from untorn_conformance.backend import Verb
from untorn_conformance.checkers.storm.judged import Judged
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
_BY_REASON: Final[Mapping[OpOutcome | None, str]] = {
    OpOutcome.MISS: Family.MISS.of(""),
    OpOutcome.SKIPPED: Family.COLLECT_SKIPPED.of(""),
}
_OF_COLLECTS: Final = (Counter.EVICTED.value, Counter.FREED_BYTES.value, Counter.REAPED.value)
_UNSETTLED: Final = (None, OpOutcome.ERROR)
_OPEN: Final = Verb.OPEN.value
_WHAT: Final = attrgetter("verb", "outcome", "reason")
_ENDED_NS: Final = attrgetter("ended_ns")


@dataclass(slots=True)
class _Process:
    """What a process was answered since it opened: ``answered`` by verb, outcome and reason."""

    since_ns: int = 0
    until_ns: int = 0
    answered: Tally[tuple[str, OpOutcome | None, str]] = field(default_factory=Tally)
    collects: Tally[str] = field(default_factory=Tally)
    new: list[Op] = field(default_factory=list)

    def count(self) -> None:
        """Count what is new."""
        self.answered.update(map(_WHAT, self.new))
        self.until_ns = max((self.until_ns, *map(_ENDED_NS, self.new)))
        for op in self.new:
            if op.outcome is OpOutcome.COLLECTED and not op.numbers.get("dry_run"):
                for name in _OF_COLLECTS:
                    self.collects[name] += int(op.numbers.get(name, 0))
        self.new.clear()

    @property
    def is_settled(self) -> bool:
        """Whether all its answers say what it did."""
        return not any(
            outcome in _UNSETTLED or verb == Verb.EXTRACT for verb, outcome, _ in self.answered
        )

    @property
    def writes(self) -> bool:
        """Whether it staged anything."""
        return any(outcome is OpOutcome.STAGED for _, outcome, _ in self.answered)

    def due(self) -> Tally[str]:
        """What its counters must say."""
        due = Tally(self.collects)
        for (_, outcome, reason), count in self.answered.items():
            if outcome in _BY_OUTCOME:
                due[_BY_OUTCOME[outcome]] += count
            elif outcome in _BY_REASON:
                due[_BY_REASON[outcome] + reason] += count
        return due


def judge_counters(timeline: Timeline, judged: Judged) -> Iterator[Violation]:
    """H8: judge every answer of stats."""
    if not timeline.counts or not timeline.counted:
        return
    processes = {op.process: _Process() for op in timeline.counted}
    read, counted, done = OpOutcome.READ, OpOutcome.COUNTED, OpOutcome.DONE
    process_of = processes.get
    for chunk in timeline.deadline.chunks(timeline.ops):
        for op in chunk:
            outcome = op.outcome
            if outcome is read:
                continue  # no counter tells of a read that gave bytes
            process = process_of(op.process)
            if process is None:
                continue  # its counters are never asked for
            if outcome is counted:
                process.count()
                if _is_known(timeline, process, op):
                    judged.count("H8")
                    yield from _judge(process, op)
            elif outcome is done and op.verb == _OPEN:
                processes[op.process] = _Process(since_ns=op.began_ns)
            else:
                process.new.append(op)


def _is_known(timeline: Timeline, process: _Process, op: Op) -> bool:
    """Whether all is known that these counters count."""
    if not process.is_settled or process.until_ns > op.began_ns:
        return False
    return not timeline.troubles.afflict(process.since_ns, op.ended_ns)


def _judge(process: _Process, op: Op) -> Iterator[Violation]:
    told = _told(op.numbers)
    due_by_name = process.due()
    names = {name for name in (*told, *due_by_name) if _is_judged(name)}
    for name in sorted(names):
        is_least = name in _OF_COLLECTS or name.startswith(Family.COLLECT_SKIPPED.of(""))
        told_n, due = told.get(name, 0), due_by_name[name]
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
