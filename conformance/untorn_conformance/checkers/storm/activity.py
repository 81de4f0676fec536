"""Who else was at work while an operation ran: on its key, or collecting."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import chain
from typing import Final

from untorn_conformance.backend import Verb
from untorn_conformance.checkers.storm.timeline import Timeline
from untorn_conformance.history import Op

_WORKS: Final = frozenset(
    each.value for each in (Verb.LOOKUP, Verb.STAGE, Verb.PUBLISH, Verb.EXTRACT, Verb.COLLECT)
)


class Activity:
    """Who was at work on a key, or collecting; counted when it is first asked for."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._by_key: dict[str, tuple[list[int], list[int]]] = {}

    def is_beside(self, op: Op) -> bool:
        """Whether anybody else worked on its key, or collected, while it was under way."""
        if not self._by_key:
            self._count()
        return self._at_once(op.key, op) > 1 or self._at_once("", op) > 0

    def _at_once(self, key: str, op: Op) -> int:
        begins, ends = self._by_key.get(key, ([], []))
        return bisect_right(begins, op.ended_ns) - bisect_left(ends, op.began_ns)

    def _count(self) -> None:
        timeline = self._timeline
        answered = (timeline.hits, timeline.misses, timeline.stages, timeline.made)
        for op in chain(*answered, timeline.collects, timeline.others, timeline.failed):
            if op.verb in _WORKS:
                begins, ends = self._by_key.setdefault(op.key, ([], []))
                begins.append(op.began_ns)
                ends.append(timeline.end(op))
        for begins, ends in self._by_key.values():
            begins.sort()
            ends.sort()
