"""Stop one actor for good before each of its steps, and let the others go on without it.

Run number ``n`` lets the actor take its first ``n`` steps, alone, and never another one. The others
then move by turns, also those that wait for time to pass; when only the stopped one could move, the
run is cut there: what is unanswered by then waits for it.

Rule 1: the last run is the one in which the actor ended before it could be stopped.
Rule 2: an actor may take ``most_steps`` while it is stopped; more is a wait that spins.

Source: a stopped process is the slowest one (Herlihy, Wait-Free Synchronization, TOPLAS 1991).
"""

from __future__ import annotations

from untorn_stress.schedulers.protocol import Ending, Moment, Option


class StoppedActor:
    """Makes one run for each step of ``actor``; ``spinning`` names who took too many steps."""

    def __init__(self, actor: str, *, most_steps: int) -> None:
        self.spinning = ""
        self.stopped_after = -1
        self._actor = actor
        self._most_steps = most_steps
        self._taken = 0
        self._others: dict[str, int] = {}
        self._ended = False

    def begin(self) -> bool:
        """Stop it one step later than before; False when it ended before."""
        if self._ended:
            return False
        self.stopped_after += 1
        self.spinning = ""
        self._taken = 0
        self._others = {}
        self._ended = True
        return True

    def choose(self, moment: Moment) -> Option | None:
        """First the actor; once it is stopped whoever else moved least."""
        whole = [option for option in moment.options if not option.fault]
        own = [option for option in whole if option.actor == self._actor]
        if own and self._taken < self.stopped_after:
            self._taken += 1
            return own[0]
        if own:
            self._ended = False
        others = [option for option in whole if option.actor != self._actor]
        if not others:
            return None
        chosen = min(others, key=lambda option: self._others.get(option.actor, 0))
        count = self._others[chosen.actor] = self._others.get(chosen.actor, 0) + 1
        if count > self._most_steps:
            self.spinning = chosen.actor
            return None
        return chosen

    def end(self, ending: Ending) -> None:
        """Nothing is learnt from how a run ended."""
        del ending
