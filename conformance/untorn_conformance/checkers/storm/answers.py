"""H10: a fault gives an answer, nothing hangs, and afterwards all works again.

Rule 1: no verb ends in an error of its own, whatever calls fail (D2); else the row is the verb's.
Rule 2: a process that lives answers: what is unanswered was asked of one that ended.
Rule 3: nobody ends but by us.
Rule 4: what a process says is a message of the protocol, and answers what it was asked: whoever
        breaks that, backend or adapter, owes what the verb owes.
Rule 5: when the strikes are over, every key can be published and read (L2); where processes had
        been killed that is C2 too.

Not flagged: a deadline of a process that was stopped meanwhile; the end of one after a strike that
killed it, or that does not say whom it killed; the decoder's own clear error, or a source that
changed, beside a strike; a root that is refused for its permissions while they are flipped; that a
process died amid an operation, which its death tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from untorn_conformance.backend import Verb
from untorn_conformance.checkers.storm.judged import Judged
from untorn_conformance.checkers.storm.timeline import Timeline
from untorn_conformance.checkers.storm.violation import FOREVER, Violation
from untorn_conformance.errors import ErrorCode
from untorn_conformance.history import Op

_OWED: Final[Mapping[str, str]] = MappingProxyType(
    {
        Verb.STAGE.value: "P5",
        Verb.PUBLISH.value: "P5",
        Verb.ABANDON.value: "P5",
        Verb.LOOKUP.value: "R6",
        Verb.READ.value: "R1",
        Verb.RELEASE.value: "R1",
        Verb.COLLECT.value: "G2",
        Verb.STATS.value: "O1",
    }
)
"""The row that says what each verb answers instead of an error; of others it is L2."""

_ENDED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "": "ended in an error: ",
        ErrorCode.PROTOCOL.value: "was answered by a line that is no answer to it: ",
    }
)
_OF_THE_SOURCE: Final = frozenset(
    {ErrorCode.DECODER_FAILED.value, ErrorCode.BAD_CLIP.value, ErrorCode.SOURCE_CHANGED.value}
)


def judge_answers(timeline: Timeline, judged: Judged) -> Iterator[Violation]:
    """H10: judge errors, silence, deaths and the audit's try at every key."""
    judged.count("H10", len(timeline.ops) - len(timeline.unanswered) - len(timeline.errors))
    for op in timeline.errors:
        if op.reason == ErrorCode.DEADLINE:
            yield from _silent(timeline, op, op.ended_ns, judged)
        elif op.reason != ErrorCode.DIED and not _is_excused(timeline, op):
            judged.count("H10")
            rows = (_OWED.get(op.verb, "L2"),) if timeline.is_untroubled(op) else ("D2",)
            told = f"{op.verb} of {op.process} {_ENDED.get(op.reason, _ENDED[''])}{op.reason}"
            told += f" ({op.message})" if op.message else ""
            yield _finding(rows, told, (op.id,), op.ended_ns)
    if timeline.round.is_whole:
        for op in timeline.unanswered:
            if op.process not in timeline.deaths:
                yield from _silent(timeline, op, FOREVER, judged)
    yield from _deaths(timeline, judged)
    yield from _unpublishable(timeline, judged)


def _is_excused(timeline: Timeline, op: Op) -> bool:
    begin, end = op.began_ns, timeline.end(op)
    struck = not timeline.is_untroubled(op) or timeline.troubles.kills.overlap(begin, end)
    if op.reason in _OF_THE_SOURCE and op.verb == Verb.EXTRACT:
        return struck
    refusable = op.verb == Verb.OPEN and op.reason == ErrorCode.ROOT_REFUSED
    return refusable and struck


def _silent(timeline: Timeline, op: Op, until: int, judged: Judged) -> Iterator[Violation]:
    if not timeline.troubles.stopped(op.process, op.began_ns, until):
        judged.count("H10")
        told = f"{op.process} lives, and did not answer {op.verb} {op.key}".rstrip()
        at_ns = op.ended_ns if op.ended_ns >= 0 else op.began_ns
        yield _finding(("L1", "L5"), told, (op.id,), at_ns)


def _deaths(timeline: Timeline, judged: Judged) -> Iterator[Violation]:
    """Rule 3; the last operation that it was asked is named."""
    fallen = {
        each.process: each
        for each in timeline.round.deaths
        if not each.asked and not timeline.troubles.killed(each.process, each.at_ns)
    }
    judged.count("H10", len(fallen))
    last = {op.process: op for op in timeline.ops if op.process in fallen} if fallen else {}
    for process, death in fallen.items():
        op = last.get(process)
        during = f" in {op.verb}" if op is not None and not op.is_answered else ""
        told = f"{process} ended by itself{during}: {death.how or 'no reason is known'}"
        struck = timeline.troubles.any_until(death.at_ns)
        rows = ("D2",) if struck else (_OWED.get(op.verb, "L2") if op else "L2",)
        yield _finding(rows, told, (op.id,) if op is not None else (), death.at_ns)


def _unpublishable(timeline: Timeline, judged: Judged) -> Iterator[Violation]:
    audit = timeline.round.audit
    if audit is None:
        return
    tried = () if audit.debris is None else timeline.start.keys  # who did not sweep did not try all
    judged.count("H10", len({*tried, *audit.unpublishable}))
    killed = any(each.asked for each in timeline.round.deaths)
    for key, why in sorted(audit.unpublishable.items()):
        told = f"the strikes are over, and key {key} cannot be published and read: {why}"
        yield _finding(("L2", "C2") if killed else ("L2",), told, (), audit.at_ns)


def _finding(
    rows: tuple[str, ...], message: str, operations: tuple[int, ...], at_ns: int
) -> Violation:
    return Violation(
        checker="H10", requirements=rows, message=message, operations=operations, at_ns=at_ns
    )
