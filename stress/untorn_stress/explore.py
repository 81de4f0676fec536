"""The loop: a scheduler drives a system, run after run, until there is no more, or no budget.

Rule 1: the loop knows neither: gated processes and model programs are explored alike.
Rule 2: what stopped the search is said: nothing left, or the budget.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from untorn_stress.schedulers.protocol import Ending, Moment, NondeterminismError, Option, Scheduler


class Ended(Protocol):
    """What a run gives: at least how it ended."""

    @property
    def ending(self) -> Ending:
        """What the scheduler is told."""


R_co = TypeVar("R_co", bound=Ended, covariant=True)
R = TypeVar("R", bound=Ended)


class System(Protocol[R_co]):
    """Something that can be run from one initial state, again and again."""

    def run(self, choose: Callable[[Moment], Option | None]) -> R_co:
        """Make one whole run, asking at each moment; None cuts it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """When to stop though there is more: after so many runs, or seconds of real time."""

    runs: int | None = None
    seconds: float | None = None


class Stopped(StrEnum):
    """Why a search ended."""

    DONE = "done"
    BUDGET = "budget"


@dataclass(slots=True)
class Progress:
    """How far a search is."""

    runs: int = 0
    cut: int = 0
    steps: int = 0
    seconds: float = 0.0
    stopped: Stopped = Stopped.DONE


class Search(Generic[R]):
    """One search; iterate over it to get its runs. ``progress`` is true after each."""

    def __init__(self, system: System[R], scheduler: Scheduler, budget: Budget) -> None:
        self.progress = Progress()
        self._system = system
        self._scheduler = scheduler
        self._budget = budget

    def __iter__(self) -> Iterator[R]:
        began_s = time.monotonic()
        progress = self.progress
        while True:
            progress.seconds = time.monotonic() - began_s
            if not self._scheduler.begin():  # asked first: a budget may be just enough
                progress.stopped = Stopped.DONE
                return
            if self._is_spent():
                progress.stopped = Stopped.BUDGET
                return
            result = self._system.run(self._scheduler.choose)
            progress.runs += 1
            progress.cut += result.ending.cut
            progress.seconds = time.monotonic() - began_s
            yield from self._ended(result)

    def _ended(self, result: R) -> Iterator[R]:
        """Tell the scheduler how the run ended; what the run showed stands, even if that fails."""
        try:
            self._scheduler.end(result.ending)
        except NondeterminismError:
            yield result
            raise
        yield result

    def _is_spent(self) -> bool:
        budget, progress = self._budget, self.progress
        return (budget.runs is not None and progress.runs >= budget.runs) or (
            budget.seconds is not None and progress.seconds >= budget.seconds
        )
