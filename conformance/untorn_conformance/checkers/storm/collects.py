"""H7 and H11: what a collect answered against what it can have done.

H7 collects keep the budget, or say why not; what they counted is what left.

    Rule 1: over budget, with nothing but entries there: something is said to have protected them.
    Rule 2: over budget with min_age 0, and nobody at work or holding anything: nothing can have.
    Rule 3: nothing is evicted within budget.
    Rule 4: all collects together evicted no more entries than were ever there, and no fewer than
            certainly went.

H11 moved clocks: rules 2 and 3 where the ages of entries had been moved. A collect that then evicts
all, though it is within budget, or keeps all, though nothing protects it, went by a wrong clock.

That what is younger than min_age was evicted is H7 too, and found where lives are compared.

Not flagged: a collect while calls fail, files go or another evicts, nor after that, or after one
that was cut short and had something to evict, until a whole collect swept what may be left of it;
how much more than needed is evicted by one that was over budget; anything where clips are extracted
too: nobody knows the entries of those. Unpublished work may weigh as much as an entry, or nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Final

from untorn_conformance.backend import Verb
from untorn_conformance.checkers.storm.judged import Judged
from untorn_conformance.checkers.storm.lives import Lives
from untorn_conformance.checkers.storm.removals import Removals
from untorn_conformance.checkers.storm.timeline import Timeline
from untorn_conformance.checkers.storm.troubles import Spans
from untorn_conformance.checkers.storm.violation import FOREVER, Violation
from untorn_conformance.history import Op, OpOutcome

_NS: Final = 1_000_000_000


def judge_collects(
    timeline: Timeline, lives: Lives, removals: Removals, weighing: Weighing, judged: Judged
) -> Iterator[Violation]:
    """H7, rules 1 to 4, for collects that were not struck by moved clocks."""
    for op in weighing.lone_collects:
        moved = removals.ages_moved_from <= op.ended_ns
        if weighing.only_entries(op):
            judged.note("H7", op)
            yield from _over_and_unsaid(op)
        if not moved:
            yield from _by_the_budget(weighing, op, ("H7", ("G2",)), judged)
    for op in removals.by_age:
        judged.note("H7", op)
    yield from _entries(timeline, lives, removals, judged)


def judge_moved_clocks(
    removals: Removals, weighing: Weighing, judged: Judged
) -> Iterator[Violation]:
    """H11: rules 2 and 3 for collects after ages were moved."""
    if removals.ages_moved_from == FOREVER:
        return
    for op in weighing.lone_collects:
        if removals.ages_moved_from <= op.ended_ns:
            yield from _by_the_budget(weighing, op, ("H11", ("G11",)), judged)


def _over_and_unsaid(op: Op) -> Iterator[Violation]:
    over = op.numbers.get("over_budget_bytes", 0)
    if over > 0 and not op.numbers.get("protected", 0):
        message = f"over budget by {over:g} bytes, and nothing is said to have protected it"
        yield _finding("H7", ("G2",), message, op)


def _by_the_budget(
    weighing: Weighing, op: Op, blamed: tuple[str, tuple[str, ...]], judged: Judged
) -> Iterator[Violation]:
    checker, rows = blamed
    over, evicted = op.numbers.get("over_budget_bytes", 0), op.numbers.get("evicted", 0)
    if weighing.min_age_s(op) == 0 and weighing.is_alone(op):
        judged.note(checker, op)
        if over > 0:
            message = f"over budget by {over:g} bytes with min_age 0, and nobody held anything"
            yield _finding(checker, rows, message, op)
    if weighing.is_within_budget(op):
        judged.note(checker, op)
        if evicted > 0:
            message = f"{evicted:g} entries were evicted, though all there was is within the budget"
            yield _finding(checker, ("G11",), message, op)


def _finding(checker: str, rows: tuple[str, ...], message: str, op: Op) -> Violation:
    return Violation(
        checker=checker,
        requirements=rows,
        message=message,
        operations=(op.id,),
        at_ns=op.ended_ns,
    )


class Weighing:
    """What can have weighed when a collect ran."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        failed = (op for op in timeline.failed if op.verb == Verb.STAGE)
        self._begun = sorted(op.began_ns for op in chain(timeline.stages, failed))
        landed = (OpOutcome.PUBLISHED, OpOutcome.ADOPTED)
        self._landed = sorted(op.ended_ns for op in timeline.made if op.outcome in landed)
        self._ends_ns: list[int] | None = None
        self.lone_collects = [] if timeline.extracts else list(self._lone_collects())

    def _lone_collects(self) -> Iterator[Op]:
        """Answered collects beside which, and before which, nothing else took anything away.

        What took something before matters until all that it may have left was swept: see
        ``_unsettled``.
        """
        unsettled = self._unsettled()
        latest = -FOREVER  # collects come in the order in which they were asked
        collects = self._timeline.collects
        asked = [*(op.began_ns for op in collects), FOREVER]
        for number, op in enumerate(collects, 1):
            began_ns, ended_ns = op.began_ns, op.ended_ns
            is_lone = latest < began_ns and ended_ns < asked[number]
            latest = max(latest, ended_ns)
            if not is_lone or op.numbers.get("dry_run"):
                continue
            if not unsettled.overlap(began_ns, ended_ns):
                yield op

    def _unsettled(self) -> Spans:
        """When entries may be half gone: while calls failed, files went or a collect was cut short.

        And until a whole collect swept after it, that began later than the grace of dead work.
        """
        timeline = self._timeline
        cut = [
            (op.began_ns, timeline.end(op))
            for op in timeline.failed
            if _is_collect(op) and not op.numbers.get("dry_run") and not self._kept_all(op)
        ]
        troubles = Spans([*timeline.troubles.refuses, *timeline.troubles.removes, *cut])
        grace_s = timeline.start.limits.get("reap_grace_s")
        grace_ns = FOREVER if grace_s is None else int(grace_s * _NS)
        whole = [
            op
            for op in (timeline.collects if list(troubles) and grace_ns < FOREVER else ())
            if not op.numbers.get("dry_run") and not troubles.overlap(op.began_ns, op.ended_ns)
        ]
        begins = [op.began_ns for op in whole]
        ends: list[tuple[int, int]] = []
        for begin, end in troubles:
            place = bisect_right(begins, end + grace_ns)
            ends.append((begin, whole[place].ended_ns if place < len(whole) else FOREVER))
        return Spans(ends)

    def _kept_all(self, cut: Op) -> bool:
        """Whether a collect that did not answer had nothing to evict, by what it was asked."""
        return bool(cut.numbers) and self.is_within_budget(cut)

    def loose(self, op: Op) -> int:
        """How many stagings may have weighed while this collect ran."""
        begun = bisect_right(self._begun, self._timeline.end(op))
        return begun - bisect_left(self._landed, op.began_ns)

    def only_entries(self, op: Op) -> bool:
        """Whether no staging can have weighed, and nobody published meanwhile."""
        return self.loose(op) == 0

    def min_age_s(self, op: Op) -> float:
        """The age by which this collect went."""
        return op.numbers.get("min_age_s", self._timeline.start.min_age_s or 0)

    def is_within_budget(self, op: Op) -> bool:
        """Whether all that can have been there weighs no more than the budget."""
        start = self._timeline.start
        if start.entry_bytes is None:
            return False
        budget = op.numbers.get("budget_bytes", start.budget_bytes)
        if budget is None:
            return False
        return (len(start.keys) + self.loose(op)) * start.entry_bytes <= budget

    def is_alone(self, op: Op) -> bool:
        """Whether no other operation was under way, no handle held and no work staged.

        It is so if as many were over when it began as had been asked before it.
        """
        ops = self._timeline.ops
        if op.id + 1 < len(ops) and ops[op.id + 1].began_ns <= op.ended_ns:
            return False
        if not self.only_entries(op) or (op.id and ops[op.id - 1].ended_ns >= op.began_ns):
            return False
        if self._ends_ns is None:
            self._ends_ns = sorted(self._timeline.over_ns())
        before = bisect_left(self._ends_ns, op.began_ns)
        return before >= self._timeline.asked_before[op.id]


def _is_collect(op: Op) -> bool:
    return op.verb == Verb.COLLECT


def _entries(
    timeline: Timeline, lives: Lives, removals: Removals, judged: Judged
) -> Iterator[Violation]:
    """Rule 4: the collects' counts, together, against the lives of the round."""
    done = [op for op in timeline.collects if not op.numbers.get("dry_run")]
    if not done or timeline.extracts or timeline.troubles.any_until(FOREVER):
        return
    for op in done:
        judged.note("H7", op)
    evicted = sum(op.numbers.get("evicted", 0) for op in done)
    row = "G8" if len(done) > 1 else "G7"
    never = (OpOutcome.ADOPTED, OpOutcome.UNPUBLISHED)
    ever = len(timeline.start.keys) + sum(op.outcome not in never for op in timeline.asked.values())
    if evicted > ever:
        message = f"{evicted:g} evicted entries were counted, and no more than {ever} ever were"
        yield _finding("H7", (row,), message, done[-1])
    failed = any(map(_is_collect, timeline.failed))
    if failed or removals.may_evict_by_itself:
        return
    there = Counter(life.key for life in lives.all)
    went = sum(number - 1 for number in there.values())
    if evicted < went:
        message = f"{evicted:g} evicted entries were counted, and {went} at least have gone"
        yield _finding("H7", ("G7",), message, done[-1])
