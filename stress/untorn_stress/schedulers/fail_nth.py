"""fail_nth: one run without a fault, then one for each fault that it was offered, or for some.

Nobody is preempted: whoever moved last goes on. What lies behind a fault is gone through without a
second one. Where nobody else is there, all of them are what ``dfs_bounded`` makes with no
preemption and one fault; drawing some is for systems whose runs take long.

Rule 1: a fault that is not offered where it was before has not been met: it is counted as missed.
Rule 2: where it was is told by the steps before it, without the waits for time: how often somebody
        looks whether another is done yet depends on how long that takes.

Source: SQLite's I/O error tests (sqlite.org/testing.html, 3.2): fail the Nth operation, for each N.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from untorn_stress.schedulers.choices import going_on, labelled
from untorn_stress.schedulers.protocol import Ending, Moment, Option


class Site(NamedTuple):
    """A fault and where it is met: ``step`` counts from 0."""

    step: int
    label: str


class FailNth:
    """``runs`` is how many faults are drawn, by the seed; None for all of them, in order.

    ``only`` says which of them are meant, all where it is None. ``sites`` are those that the first
    run was offered, ``missed`` those that were not offered again.
    """

    def __init__(
        self,
        *,
        runs: int | None = None,
        seed: int = 0,
        only: Callable[[Site], bool] | None = None,
    ) -> None:
        self.sites: list[Site] = []
        self.missed: list[Site] = []
        self._only = only
        self._runs = runs
        self._seed = seed
        self._wanted: Site | None = None
        self._left: list[Site] | None = None
        self._turn = 0
        self._turns: dict[Site, int] = {}
        self._known: set[tuple[int, str]] = set()

    @property
    def exhaustive(self) -> bool:
        """Whether every fault was met that the first run was offered."""
        return self._left == [] and not self.missed and self._runs is None

    def begin(self) -> bool:
        """The first run, then one for each site; False when there is none left."""
        self._turn = 0
        if self._left is None:
            return True
        self._wanted = self._left.pop() if self._left else None
        return self._wanted is not None

    def choose(self, moment: Moment) -> Option:
        """Go on, but at the site."""
        if self._left is None:
            self._note(moment)
        option = self._fault(moment) or going_on(
            moment.options, moment.executed.actor if moment.executed else ""
        )
        self._turn += not option.yielded
        return option

    def _note(self, moment: Moment) -> None:
        """Keep the faults on offer; one that is on offer still after a wait is the same."""
        offered = [Site(moment.step, each.label) for each in moment.options if each.fault]
        for site in filter(self._only, offered) if self._only is not None else offered:
            if (self._turn, site.label) not in self._known:
                self._known.add((self._turn, site.label))
                self._turns[site] = self._turn
                self.sites.append(site)

    def _fault(self, moment: Moment) -> Option | None:
        wanted = self._wanted
        if wanted is None or self._turns[wanted] != self._turn:
            return None
        option = labelled(moment.options, wanted.label)
        if option is not None:
            self._wanted = None
        return option

    def end(self, ending: Ending) -> None:
        """Draw the sites after the first run; note one that was missed."""
        del ending
        if self._left is None:
            drawn = list(reversed(self.sites))
            if self._runs is not None and self._runs < len(drawn):
                rng = random.Random(self._seed)  # noqa: S311 - drawn again by the same seed
                drawn = rng.sample(drawn, self._runs)
            self._left = drawn
        elif self._wanted is not None:
            self.missed.append(self._wanted)
