"""What excuses: the strikes of a round, by what they may do.

Rule 1: a strike that was not seen to bite did nothing, but for a stop: who was struck by it may
        have stood still, seen or not.
Rule 2: ``refuses`` excuses whatever overlaps it, and nothing that began when it was over.
Rule 3: ``removes`` harms what may have been there, staged or published, before it was over; a
        harmed entry may be missed, found damaged or replaced at any time from then on.
Rule 4: ``ages`` makes ages worthless from its beginning: a shifted mtime stays shifted.
Rule 5: ``kills`` and ``stops`` excuse processes, not entries.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from untorn_conformance.checkers.storm.violation import FOREVER
from untorn_conformance.history import Excuse, Round


class Spans:
    """Closed intervals of time, merged and in order."""

    def __init__(self, intervals: Iterable[tuple[int, int]]) -> None:
        self.begins: list[int] = []
        self.ends: list[int] = []
        for begin, end in sorted(intervals):
            if self.ends and begin <= self.ends[-1]:
                self.ends[-1] = max(self.ends[-1], end)
            else:
                self.begins.append(begin)
                self.ends.append(end)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Each of them, from its begin to its end."""
        return zip(self.begins, self.ends, strict=True)

    def overlap(self, begin: int, end: int) -> bool:
        """Whether one of them has a moment in common with this closed interval."""
        place = bisect_left(self.ends, begin)
        return place < len(self.ends) and self.begins[place] <= end

    def next(self, at: int) -> int:
        """The first moment of any of them that is not before ``at``."""
        place = bisect_left(self.ends, at)
        return max(at, self.begins[place]) if place < len(self.ends) else FOREVER

    def within(self, begin: int, end: int) -> int:
        """How much of this interval they cover."""
        return sum(max(0, min(ends, end) - max(begins, begin)) for begins, ends in self)


class Troubles:
    """The strikes of a round."""

    def __init__(self, round_: Round) -> None:
        self._bit = [each for each in round_.strikes if each.bit]
        self.refuses = Spans(self._intervals(Excuse.REFUSES))
        self.removes = Spans(self._intervals(Excuse.REMOVES))
        self.kills = Spans(self._intervals(Excuse.KILLS))
        aged = self._intervals(Excuse.AGES)
        self.aged_from = min((begin for begin, _ in aged), default=FOREVER)
        self.aged_until = max((end for _, end in aged), default=-FOREVER)
        self._stops = [each for each in round_.strikes if Excuse.STOPS in each.excuses]
        self._kills = [each for each in self._bit if Excuse.KILLS in each.excuses]

    def _intervals(self, excuse: Excuse) -> list[tuple[int, int]]:
        return [
            (each.begin_ns, each.end_ns if each.end_ns >= 0 else FOREVER)
            for each in self._bit
            if excuse in each.excuses
        ]

    def __bool__(self) -> bool:
        """Whether anything struck at all."""
        return bool(self._bit)

    def afflict(self, begin: int, end: int) -> bool:
        """Whether calls may have failed, or files gone, from ``begin`` to ``end``."""
        return bool(self._bit) and (
            self.refuses.overlap(begin, end) or self.removes.overlap(begin, end)
        )

    def any_until(self, end: int) -> bool:
        """Whether calls may have failed, or files gone, ever before."""
        return self.afflict(-FOREVER, end)

    def harmed_from(self, born_ns: int) -> int:
        """When what exists since ``born_ns`` may first have been harmed."""
        return self.removes.next(born_ns) if self.removes.begins else FOREVER

    def killed(self, process: str, at_ns: int) -> bool:
        """Whether a strike may have ended the process by then."""
        return any(
            each.begin_ns <= at_ns and (process in each.processes or not each.processes)
            for each in self._kills
        )

    def killed_from(self, process: str) -> int:
        """When a strike that names the process as killed began; FOREVER if none does."""
        return min(
            (each.begin_ns for each in self._kills if process in each.processes), default=FOREVER
        )

    def stopped(self, process: str, begin: int, end: int) -> bool:
        """Whether the process may have stood still in between."""
        return self._stood_still(process).overlap(begin, end)

    def stood_still_ns(self, process: str, begin: int, end: int) -> int:
        """How long the process may have stood still in between."""
        return self._stood_still(process).within(begin, end)

    def _stood_still(self, process: str) -> Spans:
        return Spans(
            (each.begin_ns, each.end_ns if each.end_ns >= 0 else FOREVER)
            for each in self._stops
            if process in each.processes or not each.processes
        )
