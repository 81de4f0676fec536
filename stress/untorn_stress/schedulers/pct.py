"""Probabilistic concurrency testing: random priorities, with a stated chance to find a bug.

Rule 1: each actor draws a priority, and the highest on offer moves.
Rule 2: at each of ``depth - 1`` change points, drawn from the steps [1, k) of a run, the actor that
        would move falls below all priorities that were drawn: the first point below the second.
Rule 3: only steps with a choice between actors are counted.
Rule 4: k is the most that were counted in a run so far. The first run measures, without points.
Rule 5: who waits for time falls below everyone; else it would be asked again and again.

Where n actors take at most k counted steps and nobody waits for time, each run after the first
finds a bug that takes ``depth`` ordering constraints with probability at least 1/(n*k**(depth-1)).
Faults are not drawn.

Source: Burckhardt, Kothari, Musuvathi and Nagarakatte, A Randomized Scheduler with Probabilistic
Guarantees of Finding Bugs (ASPLOS 2010).
"""

from __future__ import annotations

import math
import random
from typing import Final

from untorn_stress.schedulers.protocol import Ending, Moment, Option

_CONFIDENCE: Final = 0.99


class Pct:
    """``runs`` runs drawn from ``seed``, for bugs of a ``depth``: 1 is a matter of order alone."""

    def __init__(self, *, seed: int, runs: int, depth: int = 2) -> None:
        if depth < 1:
            raise ValueError(f"the depth of a bug is at least 1, not {depth}")
        self.actors = 0  # n
        self.steps = 0  # k
        self._seed = seed
        self._runs = runs
        self._depth = depth
        self._made = 0
        self._counted = 0
        self._rng = random.Random()  # noqa: S311 - begin() seeds it
        self._priorities: dict[str, float] = {}
        self._changes: list[int] = []
        self._lowest = 0.0

    @property
    def probability(self) -> float:
        """The least chance of a run to find a bug of the depth; 0.0 before the first run."""
        return 1 / self._odds if self.actors else 0.0

    @property
    def guarantee(self) -> str:
        """What the runs are worth, as a sentence."""
        if not self.actors:
            return f"pct: no run yet, so nothing is known of a bug of depth {self._depth}"
        chance = self.probability
        enough = math.ceil(math.log(1 - _CONFIDENCE) / math.log1p(-chance)) if chance < 1 else 1
        return (
            f"pct: with {self.actors} actors and {self.steps} choices a run, each run finds a bug "
            f"of depth {self._depth} with probability 1/{self._odds} or more; "
            f"{enough} runs find it with {_CONFIDENCE:.0%}"
        )

    @property
    def _odds(self) -> int:
        changes = self._depth - 1
        return self.actors * int(max(self.steps, 1) ** changes)

    def begin(self) -> bool:
        """Draw the change points of the next run; False when all were made."""
        if self._made == self._runs:
            return False
        self._rng.seed(f"{self._seed}:{self._made}")
        self._made += 1
        self._counted = 0
        self._lowest = 0.0
        self._priorities = {}
        points = range(self._depth - 1) if self.steps > 1 else ()
        self._changes = [self._rng.randrange(1, self.steps) for _ in points]
        return True

    def choose(self, moment: Moment) -> Option:
        """The step of the highest priority."""
        self._rank(moment.options)
        chosen = self._highest(moment.options)
        if any(option.actor != chosen.actor for option in moment.options):
            for place, step in enumerate(self._changes):
                if step == self._counted:
                    self._priorities[chosen.actor] = place / self._depth
                    chosen = self._highest(moment.options)
            self._counted += 1
        return chosen

    def end(self, ending: Ending) -> None:
        """Learn how many took part, and how many choices there were."""
        del ending
        self.actors = max(self.actors, len(self._priorities))
        self.steps = max(self.steps, self._counted)

    def _rank(self, options: tuple[Option, ...]) -> None:
        """Give a priority from [1, 2) to whoever has none; lower those that wait for time."""
        for option in options:
            if option.actor not in self._priorities:
                self._priorities[option.actor] = 1 + self._rng.random()
            if option.yielded:
                self._lowest -= 1
                self._priorities[option.actor] = self._lowest

    def _highest(self, options: tuple[Option, ...]) -> Option:
        plain = [option for option in options if not option.fault] or options
        return max(plain, key=lambda option: self._priorities[option.actor])
