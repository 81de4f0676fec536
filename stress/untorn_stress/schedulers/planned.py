"""A plan that was drawn before the run: whoever moved last goes on, but for the turns of the plan.

Rule 1: a turn's ``choice`` is a number: 0 is to go on, others are taken modulo what else is on
        offer when the turn comes. So no plan asks for what the system does not offer, and a smaller
        plan has fewer preemptions.
Rule 2: a fault is taken by a turn that asks for one, and no more of them than ``faults`` allows.
Rule 3: what comes after the last turn, or is forced since the last actor cannot move, is no choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from untorn_stress.run import is_kill
from untorn_stress.schedulers.choices import going_on, may_go_on
from untorn_stress.schedulers.protocol import Ending, Moment, Option


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """After so many more steps ``choice`` decides who moves, or which ``fault`` is met."""

    after: int
    choice: int = 0
    fault: bool = False


class Planned:
    """Makes one run. ``preemptions`` and ``faults_taken`` count what the plan came to."""

    def __init__(self, turns: Sequence[Turn], *, faults: int = 0) -> None:
        self._turns = tuple(turns)
        self._faults = faults
        self._made = False
        self._next = 0
        self._waited = 0
        self.preemptions = 0
        self.faults_taken = 0

    def begin(self) -> bool:
        """True once."""
        made, self._made = self._made, True
        return not made

    def choose(self, moment: Moment) -> Option:
        """What the plan's turn says if one is due, else whoever moved last goes on."""
        last = moment.executed.actor if moment.executed else ""
        option = self._decide(moment.options, going_on(moment.options, last))
        if option.fault:
            self.faults_taken += 1
        elif option.actor != last and may_go_on(moment.options, last):
            self.preemptions += 1
        return option

    def _decide(self, options: Sequence[Option], onward: Option) -> Option:
        if self._next == len(self._turns):
            return onward
        turn = self._turns[self._next]
        if self._waited < turn.after:
            self._waited += 1
            return onward
        self._next, self._waited = self._next + 1, 0
        if turn.fault and self.faults_taken == self._faults:
            return onward
        others = [each for each in options if bool(each.fault) == turn.fault and each != onward]
        if turn.fault:  # a death as often as an errno, of which there are many more
            wanted = [each for each in others if is_kill(each.label) == bool(turn.choice % 2)]
            others = wanted or others
        if turn.choice == 0 or not others:
            return onward
        return others[(turn.choice - 1) % len(others)]

    def end(self, ending: Ending) -> None:
        """Learn nothing: there is one run."""
