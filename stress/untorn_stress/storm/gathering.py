"""Races: writers that staged the same key wait for each other, and are let go together.

A role that yields ``Gather`` stands still until as many others do so as it wants, or until it has
waited long enough; then all that gathered go on in one breath.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from untorn_stress.storm.crew import StormWorker
from untorn_stress.storm.roles import Gather, Race


@dataclass(slots=True)
class Gathering:
    """Who waits for others. ``at`` calls something after some seconds, ``advance`` lets go on."""

    race: Race
    at: Callable[[float, Callable[[], None]], None]
    advance: Callable[[StormWorker], None]
    _waiting: list[StormWorker] = field(default_factory=list)
    _round: itertools.count[int] = field(default_factory=itertools.count)
    _now: int = 0

    def join(self, worker: StormWorker, step: Gather) -> None:
        """Let a worker wait; the last that was waited for lets all go on."""
        self._waiting.append(worker)
        if len(self._living()) >= step.size:
            self._let_go()
        elif len(self._waiting) == 1:
            self._now = next(self._round)
            mine = self._now
            self.at(step.seconds, lambda: self._let_go() if mine == self._now else None)

    def _living(self) -> list[StormWorker]:
        return [each for each in self._waiting if not each.hung_up]

    def _let_go(self) -> None:
        gathered, self._waiting = self._living(), []
        self._now = -1
        self.race.label = ""
        for worker in gathered:
            self.advance(worker)
