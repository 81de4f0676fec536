"""Uniform random: each option on offer is as likely as any other. The baseline for ``pct``."""

from __future__ import annotations

import random

from untorn_stress.schedulers.protocol import Ending, Moment, Option


class Uniform:
    """``runs`` runs drawn from ``seed``, with at most so many faults in each."""

    def __init__(self, *, seed: int, runs: int, faults: int = 0) -> None:
        self._seed = seed
        self._runs = runs
        self._fault_budget = faults
        self._made = 0
        self._faults = 0
        self._rng = random.Random()  # noqa: S311 - begin() seeds it

    def begin(self) -> bool:
        """True as often as runs were asked for."""
        if self._made == self._runs:
            return False
        self._rng.seed(f"{self._seed}:{self._made}")
        self._made += 1
        self._faults = 0
        return True

    def choose(self, moment: Moment) -> Option:
        """Any option, while the budget lasts; then any without a fault."""
        spent = self._faults == self._fault_budget
        option = self._rng.choice([o for o in moment.options if not (spent and o.fault)])
        self._faults += bool(option.fault)
        return option

    def end(self, ending: Ending) -> None:
        """Learn nothing: the runs are independent."""
