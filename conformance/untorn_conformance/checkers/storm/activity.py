"""Who else was at work while an operation ran: on its key, or collecting."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Final

from untorn_conformance.backend import Verb
from untorn_conformance.checkers.storm.timeline import Timeline
from untorn_conformance.history import Op

_WORKS_ON_A_KEY: Final = frozenset(
    {Verb.LOOKUP.value, Verb.STAGE.value, Verb.PUBLISH.value, Verb.EXTRACT.value}
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
        for op in self._timeline.ops:
            if op.verb in _WORKS_ON_A_KEY or op.verb == Verb.COLLECT:
                begins, ends = self._by_key.setdefault(op.key, ([], []))
                begins.append(op.began_ns)
                ends.append(self._timeline.end(op))
        for begins, ends in self._by_key.values():
            begins.sort()
            ends.sort()
