"""Kills that are aimed: at the midst of a verb, so long after it was asked as it usually takes.

Rule 1: how long a verb takes is measured while the work goes on; which part of that an aimed kill
        waits is drawn.
Rule 2: the wait is a sleep of the loop itself, of some milliseconds: a timer of the loop would come
        after the answer.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from untorn_stress.storm.crew import StormWorker

_REMEMBERED: Final = 31
_FIRST_GUESS_S: Final = 0.002
_LONGEST_S: Final = 0.03


@dataclass(slots=True)
class Shot:
    """A kill to come of whoever is next asked ``verb``; ``part`` of its usual time after that."""

    verb: str
    part: float
    victim: StormWorker | None = None
    given_up: bool = False


@dataclass(slots=True)
class Aiming:
    """The shots of a round, and how long each verb has taken."""

    kill: Callable[[StormWorker], None]
    _shots: list[Shot] = field(default_factory=list)
    _took_s: defaultdict[str, deque[float]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=_REMEMBERED))
    )

    def aim(self, verb: str, part: float) -> Shot:
        """Aim at whoever is asked this verb next."""
        shot = Shot(verb, part)
        self._shots.append(shot)
        return shot

    def took(self, verb: str, seconds: float) -> None:
        """Learn how long an answer took."""
        self._took_s[verb].append(seconds)

    def asked(self, worker: StormWorker, verb: str) -> None:
        """A worker was asked: shoot, where somebody aims at that."""
        self._shots = [each for each in self._shots if not each.given_up]
        if worker.stopped or worker.killed or not worker.pid:
            return
        for shot in self._shots:
            if shot.verb == verb:
                self._shots.remove(shot)
                usual_s = statistics.median(self._took_s[verb] or (_FIRST_GUESS_S,))
                time.sleep(min(shot.part * usual_s, _LONGEST_S))
                shot.victim = worker
                self.kill(worker)
                return
