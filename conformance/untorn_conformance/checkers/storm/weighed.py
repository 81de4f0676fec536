"""H7 and H11: collects that ran alone, the entries weighed before and after them.

Rule 1: a dry run changes nothing (G13).
Rule 2: no fewer entries and bytes are counted than left; and no more, unless a collect was killed
        before: who finishes its work may count that (G7).
Rule 3: what stands above the budget is said, in full, and what protected it (G2).
Rule 4: nothing is evicted while all that can weigh is within the budget (G11).
Rule 5: where all had gone, what came since is no older than that: with a greater min_age nothing
        goes (G3), also where its mtimes lie in the future (H11).

Such a collect carries ``stood`` and ``stayed``. It is judged if all other processes are dead, and
no strike is in force. Not flagged: bytes where they are allocated ones, which a file system settles
when it likes; more bytes than left, where stagings were reaped, or files taken away in this round
(a thinned entry keeps its counted size, which is no less than it weighs); anything where clips are
extracted, or debris was left: entries are not all there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from untorn_conformance.backend import BytesMeaning, Verb
from untorn_conformance.checkers.storm.collects import Weighing
from untorn_conformance.checkers.storm.judged import Judged
from untorn_conformance.checkers.storm.removals import SLACK_NS, Removals
from untorn_conformance.checkers.storm.timeline import Timeline
from untorn_conformance.checkers.storm.violation import FOREVER, Violation
from untorn_conformance.history import Op

_NS: Final = 1_000_000_000
_Told = tuple[str, tuple[str, ...], str]


def judge_weighed(
    timeline: Timeline, removals: Removals, weighing: Weighing, alone: Alone, judged: Judged
) -> Iterator[Violation]:
    """Judge every collect that ran alone and was weighed."""
    scene = _Scene(timeline, removals, weighing)
    for op in alone.collects:
        judged.note("H11" if op.numbers.get("shifted_s", 0) else "H7", op)
        for checker, rows, message in scene.judge(op):
            yield Violation(
                checker=checker,
                requirements=rows,
                message=f"{message} (a collect alone, budget {op.numbers.get('budget_bytes')})",
                operations=(op.id,),
                at_ns=op.ended_ns,
            )
        scene.note(op)


@dataclass(frozen=True, slots=True)
class Alone:
    """The weighed collects of a round that certainly ran alone and unhindered, all of one process.

    ``first`` is the number of the first operation that it was asked.
    """

    collects: tuple[Op, ...] = ()
    first: int = 0


def weighed(timeline: Timeline) -> Alone:
    """Those of a round."""
    some = [op for op in timeline.collects if {"stood", "stayed"} <= op.numbers.keys()]
    audit = timeline.round.audit
    if not some or timeline.extracts or (audit is not None and audit.debris):
        return Alone()
    process = some[0].process
    firsts = {op.process: op.id for op in reversed(timeline.ops)}
    ended = {each.process: each.at_ns for each in timeline.round.deaths}
    others = (ended.get(each, FOREVER) for each in firsts if each != process)
    last = max(others, default=-FOREVER)
    if any(op.process != process for op in some):
        return Alone()
    alone = (op for op in some if last <= op.began_ns and timeline.is_untroubled(op))
    return Alone(tuple(alone), firsts[process])


class _Scene:
    """What came before a weighed collect."""

    def __init__(self, timeline: Timeline, removals: Removals, weighing: Weighing) -> None:
        self._weighing = weighing
        self._entry_bytes = timeline.start.entry_bytes
        self._moved_from = removals.ages_moved_from
        is_size = timeline.start.limits.get("bytes_meaning") == BytesMeaning.ST_SIZE
        self._thinned = timeline.troubles.removes.overlap(-FOREVER, FOREVER)
        self._tells_bytes = is_size
        self._unfinished = any(op.verb == Verb.COLLECT for op in timeline.failed)
        self._emptied: Op | None = None

    def note(self, op: Op) -> None:
        """Remember the last collect after which nothing stood."""
        if op.numbers["stayed"] == 0:
            self._emptied = op

    def judge(self, op: Op) -> Iterator[_Told]:
        """What is wrong with a collect."""
        if op.numbers.get("dry_run"):
            if self._left(op) != 0 or self._bytes_left(op) not in (0, None):
                yield "H7", ("G13",), f"a dry run left {_of(op)}"
            return
        yield from self._counts(op)
        yield from self._excess(op)
        yield from self._within(op)
        yield from self._young(op)

    def _left(self, op: Op) -> float:
        return op.numbers["stood"] - op.numbers["stayed"]

    def _bytes_left(self, op: Op) -> float | None:
        if not self._tells_bytes or not {"stood_bytes", "stayed_bytes"} <= op.numbers.keys():
            return None
        return op.numbers["stood_bytes"] - op.numbers["stayed_bytes"]

    def _counts(self, op: Op) -> Iterator[_Told]:
        evicted, left = op.numbers.get("evicted"), self._left(op)
        more = not self._unfinished
        if evicted is not None and (evicted < left or (evicted > left and more)):
            yield "H7", ("G7",), f"{evicted:g} evicted entries are counted, and {left:g} left"
        freed, bytes_left = op.numbers.get("freed_bytes"), self._bytes_left(op)
        more = more and not op.numbers.get("reaped", 0) and not self._thinned
        if (
            freed is not None
            and bytes_left is not None
            and (freed < bytes_left or (freed > bytes_left and more))
        ):
            yield "H7", ("G7",), f"{freed:g} freed bytes are counted, and {bytes_left:g} left"

    def _excess(self, op: Op) -> Iterator[_Told]:
        """Of entries that stay at budget 0 their number tells, where their bytes do not."""
        budget, said = op.numbers.get("budget_bytes"), op.numbers.get("over_budget_bytes", 0)
        if budget is None or not op.numbers["stayed"]:
            return
        excess = 1.0 if budget == 0 else 0.0
        if self._bytes_left(op) is not None:
            excess = op.numbers["stayed_bytes"] - budget
        if said < excess:
            yield "H7", ("G2",), f"{said:g} bytes over budget are said, and there are {excess:g}"
        elif excess > 0 and not op.numbers.get("protected", 0):
            yield "H7", ("G2",), f"{excess:g} bytes are over budget, and nothing protected them"

    def _within(self, op: Op) -> Iterator[_Told]:
        budget, stood = op.numbers.get("budget_bytes"), op.numbers.get("stood_bytes")
        loose = self._weighing.loose(op)
        if budget is None or stood is None or (loose and self._entry_bytes is None):
            return
        most = stood + loose * (self._entry_bytes or 0)
        if self._thinned or not self._tells_bytes:
            most *= 2
        if most <= budget and self._goes(op):
            moved = self._moved_from <= op.ended_ns or op.numbers.get("shifted_s", 0)
            yield "H11" if moved else "H7", ("G11",), f"all was within the budget, {_of(op)} left"

    def _young(self, op: Op) -> Iterator[_Told]:
        since = self._emptied
        if since is None or not self._goes(op):
            return
        shifted = op.numbers.get("shifted_s", 0) - since.numbers.get("shifted_s", 0)
        oldest_ns = op.ended_ns - since.began_ns + SLACK_NS
        if self._weighing.min_age_s(op) * _NS > oldest_ns and shifted <= 0:
            message = f"{_of(op)} left, younger than {self._weighing.min_age_s(op):g} s"
            if shifted < 0:
                yield "H11", ("G11", "G3"), f"{message}, with mtimes in the future"
            else:
                yield "H7", ("G3",), message

    def _goes(self, op: Op) -> bool:
        return self._left(op) > 0 or op.numbers.get("evicted", 0) > 0


def _of(op: Op) -> str:
    return f"{op.numbers['stood'] - op.numbers['stayed']:g} of {op.numbers['stood']:g} entries"
