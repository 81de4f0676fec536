"""H7: in which order a collect that ran alone took entries: least recently used first (G1).

Rule 1: of two entries that nothing protects, the one that was certainly used later, by more than
        ``recency_resolution_s``, does not go while the other stays.

Who collects alone also publishes, uses and looks up, one after the other; each use lies between its
asking and its answer, and what was made older since (``shifted_s``) was used so much longer ago. An
entry went if the next lookup of its key misses it as absent, and stayed if that hits.

Judged are entries that the same process published and let go, after all others were dead and the
last strike moved ages. Not flagged: what may be younger than min_age, or was published again before
it was looked for; any order where no resolution is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from untorn_conformance.backend import MissReason, Verb
from untorn_conformance.checkers.storm.collects import Weighing
from untorn_conformance.checkers.storm.judged import Judged
from untorn_conformance.checkers.storm.removals import SLACK_NS
from untorn_conformance.checkers.storm.timeline import Timeline
from untorn_conformance.checkers.storm.violation import Violation
from untorn_conformance.checkers.storm.weighed import Alone
from untorn_conformance.history import Op, OpOutcome

_NS: Final = 1_000_000_000
_ABSENT: Final = MissReason.ABSENT.value
_TOUCHES: Final = frozenset({Verb.LOOKUP.value, Verb.STAGE.value, Verb.PUBLISH.value})
_USED: Final = frozenset({OpOutcome.HIT, OpOutcome.ADOPTED})
_GAVE: Final = frozenset({*_USED, OpOutcome.PUBLISHED})


@dataclass(frozen=True, slots=True)
class _Use:
    """The last use of an entry, between two moments of a clock that goes on with all ages."""

    op: Op
    from_ns: float
    to_ns: float


def judge_order(
    timeline: Timeline, weighing: Weighing, alone: Alone, judged: Judged
) -> Iterator[Violation]:
    """Judge what each weighed collect took, and what it left."""
    resolution_s = timeline.start.limits.get("recency_resolution_s")
    if resolution_s is None or not alone.collects:
        return
    margin_ns = int(resolution_s * _NS) + SLACK_NS
    for collect, uses, later in _walked(timeline, alone):
        went, stayed = _fates(later)
        young_ns = _moment(collect) - weighing.min_age_s(collect) * _NS - SLACK_NS
        evicted = [use for key, use in uses.items() if key in went]
        kept = [use for key, use in uses.items() if key in stayed and use.to_ns < young_ns]
        if not evicted or not kept:
            continue
        judged.note("H7", collect)
        latest = max(evicted, key=lambda use: use.from_ns)
        oldest = min(kept, key=lambda use: use.to_ns)
        if latest.from_ns > oldest.to_ns + margin_ns:
            yield _inverted(collect, latest, oldest)


def _inverted(collect: Op, evicted: _Use, kept: _Use) -> Violation:
    apart_s = (evicted.from_ns - kept.to_ns) / _NS
    return Violation(
        checker="H7",
        requirements=("G1",),
        message=f"a collect alone took key {evicted.op.key} and left key {kept.op.key}, which had "
        f"been used {apart_s:.1f} s before it at least",
        operations=tuple(sorted({kept.op.id, evicted.op.id, collect.id})),
        at_ns=collect.ended_ns,
    )


def _walked(
    timeline: Timeline, alone: Alone
) -> Iterator[tuple[Op, Mapping[str, _Use], Sequence[Op]]]:
    """Each collect that took something, what was known of uses before it, and what came after."""
    collects = alone.collects
    process = collects[0].process
    read = OpOutcome.READ  # what a read gives, its handle's hit has told of already
    mine = [
        op for op in timeline.ops[alone.first :] if op.outcome is not read and op.process == process
    ]
    since_ns = _settled_since(timeline, process)
    coming = [*collects[1:], collects[-1]]  # after the last nothing is asked about
    shifts = (0.0, _shifted_s(collects[0]))
    known = {op.id: number for number, op in enumerate(collects)}
    uses: dict[str, _Use] = {}
    held: dict[int, str] = {}
    for place, op in enumerate(mine, 1):
        number = known.get(op.id)
        if number is not None:
            shifts = (_shifted_s(op), _shifted_s(coming[number]))
            if op.numbers.get("evicted") and not op.numbers.get("dry_run"):
                free = {key: use for key, use in uses.items() if key not in held.values()}
                yield op, free, mine[place:]
        elif op.outcome is OpOutcome.MISS:
            uses.pop(op.key, None)
        elif op.key in uses if op.outcome in _USED else _is_new(op, since_ns):
            uses[op.key] = _use(op, shifts)
        if op.outcome in _GAVE:
            held[op.id] = op.key
        elif op.verb == Verb.RELEASE and op.outcome is OpOutcome.DONE:
            held.pop(op.via, None)


def _is_new(op: Op, since_ns: int) -> bool:
    return op.outcome is OpOutcome.PUBLISHED and op.began_ns > since_ns


def _use(op: Op, shifts: tuple[float, float]) -> _Use:
    return _Use(op, op.began_ns + min(shifts) * _NS, op.ended_ns + max(shifts) * _NS)


def _settled_since(timeline: Timeline, process: str) -> int:
    """When all others were dead, and what they, or a strike, did to ages was done."""
    others = (at_ns for name, at_ns in timeline.deaths.items() if name != process)
    aged = (op.ended_ns for op in timeline.ages if op.process != process)
    return max((*others, *aged, timeline.troubles.aged_until))


def _fates(later: Iterable[Op]) -> tuple[set[str], set[str]]:
    """The keys whose entries went, and those whose stayed, by what was asked of each next."""
    fates: dict[str, OpOutcome | None] = {}
    for op in later:
        if op.verb == Verb.COLLECT and not op.numbers.get("dry_run"):
            break
        if op.verb in _TOUCHES and op.key not in fates:
            is_told = op.outcome is OpOutcome.HIT or op.reason == _ABSENT
            fates[op.key] = op.outcome if is_told else None
    return (
        {key for key, outcome in fates.items() if outcome is OpOutcome.MISS},
        {key for key, outcome in fates.items() if outcome is OpOutcome.HIT},
    )


def _shifted_s(op: Op) -> float:
    return op.numbers.get("shifted_s", 0.0)


def _moment(collect: Op) -> float:
    return collect.began_ns + _shifted_s(collect) * _NS
