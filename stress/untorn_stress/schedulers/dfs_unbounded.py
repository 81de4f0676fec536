"""Unbounded search: every schedule, or with sleep sets one or few of each set of equivalent ones.

For tiny systems: there is no bound on preemptions, and none can be added (see ``dfs_bounded``).

Rule 1: what was explored from a prefix sleeps in the alternatives explored after it, and goes on
        sleeping until a step is taken that conflicts with it. What sleeps is not chosen.
Rule 2: a run is cut where all that could be chosen sleeps.
Rule 3: steps of one actor conflict; those of two do by their executed footprints. These have what
        decides whether the step is on offer (rule 5 of ``dfs_bounded``): one that takes a lock
        conflicts with a fault in place of the wait for it.
Rule 4: a step after which its actor yielded conflicts with everything, since the next move of any
        other actor puts it on offer again. An actor that yielded looks like one that is done until
        then. So once any was seen to yield, the search starts anew, and each step counts as a
        yield after which its actor is not on offer.

Before the first yield is seen rule 4 misses none: sleep sets have lost nothing until the first run
with a yield, and such a run goes on to where the actor is on offer again.

Source: Godefroid, Partial-Order Methods for the Verification of Concurrent Systems (1996), 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from untorn_stress.schedulers.choices import again, going_on
from untorn_stress.schedulers.protocol import (
    Ending,
    Executed,
    Footprint,
    Moment,
    NondeterminismError,
    Option,
)

_EVERYTHING: Final = Footprint(opaque=True)


@dataclass(slots=True)
class _Node:
    """A prefix on the current path: ``label`` is the choice that is being explored below it."""

    label: str
    faults: int
    open: list[str]
    sleeping: dict[str, Executed]
    explored: dict[str, Executed] = field(default_factory=dict)


class UnboundedDfs:
    """All schedules of one system with at most so many faults, but for equal ones.

    ``runs`` counts the runs that were begun, ``cut`` those of them that rule 2 cut, ``restarts``
    how often rule 4 began anew (at most once).
    """

    def __init__(self, *, faults: int = 0, sleep_sets: bool = True) -> None:
        self.runs = 0
        self.cut = 0
        self.restarts = 0
        self._fault_budget = faults
        self._sleep_sets = sleep_sets
        self._yields = False
        self._restart = False
        self._started = False
        self._nodes: list[_Node] = []
        self._prefix = 0  # how many choices this run repeats
        self._chosen = 0

    @property
    def exhaustive(self) -> bool:
        """Whether every schedule was made, or an equivalent one."""
        return self._started and not self._nodes

    def begin(self) -> bool:
        """Take up the newest alternative left; False when there is none."""
        if self._restart:
            self._nodes.clear()
            self._restart = False
            self.restarts += 1
        elif self._started:
            self._backtrack()
            if not self._nodes:
                return False
        self._started = True
        self._prefix = len(self._nodes)
        self._chosen = 0
        self.runs += 1
        return True

    def choose(self, moment: Moment) -> Option | None:
        """Repeat the path, take the alternative, then go on as before.

        Raises NondeterminismError when the path leads elsewhere than it did.
        """
        self._chosen += 1
        if moment.step < self._prefix:
            return again(moment, self._nodes[moment.step].label)
        self._notice_yields(moment.options)
        self._took(moment.executed, moment.options)
        sleeping = self._sleeping()
        faults = self._faults()
        awake = [
            option
            for option in moment.options
            if option.label not in sleeping and (faults < self._fault_budget or not option.fault)
        ]
        if not awake:
            self.cut += 1
            return None
        chosen = going_on(awake, moment.executed.actor if moment.executed else "")
        others = [option.label for option in reversed(awake) if option is not chosen]
        self._nodes.append(_Node(chosen.label, faults + bool(chosen.fault), others, sleeping))
        return chosen

    def end(self, ending: Ending) -> None:
        """Learn from the last step.

        Raises NondeterminismError when the run was over before the path was.
        """
        if self._chosen < self._prefix:
            raise NondeterminismError(
                f"the run ended after {self._chosen} steps; the same choices led on before"
            )
        if not ending.cut:
            self._took(ending.executed, ())

    def _backtrack(self) -> None:
        """Step back to the last prefix with an alternative, and take it."""
        while self._nodes and not self._nodes[-1].open:
            self._nodes.pop()
        if self._nodes:
            node = self._nodes[-1]
            node.label = node.open.pop()
            before = self._nodes[-2].faults if len(self._nodes) > 1 else 0
            node.faults = before + ("!" in node.label)

    def _faults(self) -> int:
        return self._nodes[-1].faults if self._nodes else 0

    def _took(self, executed: Executed | None, options: Sequence[Option]) -> None:
        """Note what the last choice came to, so that it can sleep in what is explored later."""
        if executed is None or not self._nodes:
            return
        node = self._nodes[-1]
        footprint = _EVERYTHING if self._may_wait(executed, options) else executed.footprint
        node.explored[node.label] = Executed(executed.actor, executed.label, footprint)

    def _may_wait(self, executed: Executed, options: Sequence[Option]) -> bool:
        own = [option for option in options if option.actor == executed.actor]
        return self._yields and all(option.yielded for option in own)

    def _notice_yields(self, options: Sequence[Option]) -> None:
        if self._sleep_sets and not self._yields and any(option.yielded for option in options):
            self._yields = True
            self._restart = True

    def _sleeping(self) -> dict[str, Executed]:
        """What sleeps after the last step: what slept or was explored beside it, and commutes."""
        if not self._sleep_sets or not self._nodes:
            return {}
        node = self._nodes[-1]
        step = node.explored[node.label]
        beside = node.sleeping | node.explored
        return {
            label: other
            for label, other in beside.items()
            if other.actor != step.actor and not other.footprint.conflicts(step.footprint)
        }
