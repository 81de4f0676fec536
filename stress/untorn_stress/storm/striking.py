"""The strikes of one round: begun when the plan says, healed when they are over, written down.

Rule 1: what is counted as bitten was seen in a worker. What is excused in the history is more: all
        that was in force, whether or not somebody was seen to meet it.
Rule 2: a strike that fails half way may have done half of it: that is excused, and not counted.
Rule 3: what another strike keeps from being healed is healed when that one is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from untorn_conformance.history import Strike

from untorn_stress.storm.nemesis.catalogue import NEMESES
from untorn_stress.storm.nemesis.protocol import Blow, Field
from untorn_stress.storm.plan import PlannedStrike, dice
from untorn_stress.storm.tally import Tally

KILL_ALL: Final = "kill-all"
"""The end of every round is a strike, too."""


@dataclass(slots=True)
class Striking:
    """What strikes a field, and who is told of it."""

    field_: Field
    tally: Tally
    tell: Callable[[Strike], None]
    blows: list[Blow] = field(default_factory=list)

    def strike(self, planned: PlannedStrike) -> None:
        """Begin a strike, where it can be."""
        nemesis = NEMESES[planned.nemesis]
        why = nemesis.cannot(self.field_)
        if why:
            self.tally.inapplicable[nemesis.name] = why
            return
        self.tally.tried[nemesis.name] += 1
        begin_ns = time.monotonic_ns()
        try:
            blow = nemesis.strike(self.field_, dice(planned.dice_seed))
        except OSError as error:
            self.tally.errors.setdefault(f"nemesis {nemesis.name}", str(error))
            self.tell(
                Strike(
                    name=nemesis.name,
                    begin_ns=begin_ns,
                    end_ns=time.monotonic_ns(),
                    excuses=nemesis.excuses,
                    bit=True,
                    detail=f"failed half way: {error}",
                )
            )
            return
        if blow is not None:
            self.blows.append(blow)

    def heal_those_over(self) -> None:
        """Heal every strike that is over."""
        for blow in [each for each in self.blows if each.over()]:
            self._heal(blow)

    def heal_all(self) -> None:
        """Heal what is under way, the last first. Raises OSError where that cannot be done."""
        for is_last in (False, True):
            for blow in reversed(self.blows.copy()):
                blow.over()  # some look at what has come of them
                self._heal(blow, is_last=is_last)

    def _heal(self, blow: Blow, *, is_last: bool = False) -> None:
        try:
            blow.heal()
        except OSError:
            if is_last:
                raise
            blow.over = lambda: False
            return
        self.blows.remove(blow)
        has_bitten = blow.proof()
        self.tally.bit[blow.name] += has_bitten
        self.tell(
            Strike(
                name=blow.name,
                begin_ns=blow.begin_ns,
                end_ns=time.monotonic_ns(),
                excuses=blow.excuses,
                bit=has_bitten or blow.in_force,
                detail=blow.detail,
                processes=blow.processes,
            )
        )
