"""When an entry may have been removed: the collects of a round, and the strikes.

Rule 1: only collects remove entries: those that evicted something, and those without an answer. A
        dry run and a skipped one remove nothing; nor does one that answered that it evicted
        nothing, unless calls failed or files went beneath it.
Rule 2: none removes what is younger than its min_age, as long as nobody has moved the times. What
        was staged later than that before a collect's end is too young for it.
Rule 3: a backend that was configured with a budget may collect whenever it stages, publishes or
        extracts; any may make room when calls fail meanwhile, and when it extracts, unless there
        was room enough all the time.
Rule 4: what a strike harmed may go at any later time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from untorn_conformance.backend import Verb
from untorn_conformance.checkers.storm.timeline import Timeline
from untorn_conformance.checkers.storm.troubles import Spans
from untorn_conformance.history import Op

SLACK_NS: Final = 50_000_000
"""How much older than it is an entry may look: the kernel stamps files with the time of its last
tick, and the two clocks may be slewed apart. Rounding up further is the cache's own fault."""

_WRITES: Final = frozenset({Verb.STAGE.value, Verb.PUBLISH.value})

_KINDS: Final = 8
"""Different min_ages that are told apart in one round; of more, the least counts for all."""

_NS: Final = 1_000_000_000


class Removals:
    """The moments at which entries may have gone.

    ``by_age`` are the answered collects that removed something, and nothing below some age.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.may_evict_by_itself = timeline.start.budget_bytes is not None
        self._moved_from = min(
            [timeline.troubles.aged_from, *(op.began_ns for op in timeline.ages)]
        )
        self.by_age: list[Op] = []
        spans: dict[int, list[tuple[int, int]]] = {}
        for age, begin, end in (*self._collects(), *self._others()):
            spans.setdefault(age, []).append((begin, end))
        if len(spans) > _KINDS:
            spans = {min(spans): [each for some in spans.values() for each in some]}
        self._kinds = [(age, Spans(some)) for age, some in spans.items()]
        self._ageless = Spans([each for some in spans.values() for each in some])
        harmless = not timeline.troubles.removes.begins
        self._is_plain = harmless and all(age == 0 for age in spans)

    @property
    def ages_moved_from(self) -> int:
        """From when on the ages of entries mean nothing."""
        return self._moved_from

    def soonest(self, version: str, at: int, *, by_age: bool = True) -> int:
        """The first moment, not before ``at``, at which this version may have been removed.

        ``by_age``: what is too young for a collect is safe from it.
        """
        if self._is_plain:
            return self._ageless.next(at)
        staged = self._timeline.staged_at(version)
        first = max(at, self._timeline.troubles.harmed_from(staged))
        if not by_age:
            return min(first, self._ageless.next(at))
        for age, spans in self._kinds:
            first = min(first, self._old_enough(spans, staged, age, at))
        return first

    def _old_enough(self, spans: Spans, staged: int, age: int, at: int) -> int:
        safe_until = min(staged + age - SLACK_NS, self._moved_from) if age else at
        return spans.next(max(at, safe_until))

    def _collects(self) -> Iterator[tuple[int, int, int]]:
        timeline = self._timeline
        for op in timeline.collects:
            if self._removes(op):
                age = self._min_age(op)
                if age > 0 and op.ended_ns < self._moved_from:
                    self.by_age.append(op)
                yield age, op.began_ns, op.ended_ns
        for op in timeline.failed:
            if op.verb == Verb.COLLECT and not op.numbers.get("dry_run"):
                yield self._min_age(op) if op.numbers else 0, op.began_ns, timeline.end(op)

    def _removes(self, op: Op) -> bool:
        if op.numbers.get("dry_run"):
            return False
        if op.numbers.get("evicted", 1) > 0:
            return True
        return self._timeline.troubles.afflict(op.began_ns, op.ended_ns)

    def _min_age(self, op: Op) -> int:
        asked = op.numbers.get("min_age_s", self._timeline.start.min_age_s)
        return max(0, int((asked or 0) * _NS))

    def _others(self) -> Iterator[tuple[int, int, int]]:
        timeline = self._timeline
        age = max(0, int((timeline.start.min_age_s or 0) * _NS))
        refuses, audit = timeline.troubles.refuses, timeline.round.audit
        is_roomy = audit is not None and audit.had_room
        for op in timeline.extracts:
            end = timeline.end(op)
            if not is_roomy or self.may_evict_by_itself or refuses.overlap(op.began_ns, end):
                yield age, op.began_ns, end
        if not (self.may_evict_by_itself or refuses.begins):
            return
        failed = [op for op in timeline.failed if op.verb in _WRITES]
        for op in (*timeline.made, *timeline.stages, *failed):
            end = timeline.end(op)
            if self.may_evict_by_itself or refuses.overlap(op.began_ns, end):
                yield age, op.began_ns, end
