"""Bounded search: every schedule with 0 preemptions, then with 1, and so on up to the bound.

A preemption is a switch away from an actor that could have moved on (one of its options is not
*yielded*). The search is stateless: a run repeats the choices that lead to an alternative seen in
an earlier run, takes it, and then goes on with whoever moved last.

Rule 1: alternatives wait in levels, by the preemptions that they cost; the lowest goes first, and
        within a level the newest. A higher bound runs nothing again.
Rule 2 (pruning): a run is cut at a prefix whose happens-before hash was seen with the same last
        actor and no more preemptions. The faults spent are the same then: labels are hashed.
Rule 3 (idle objects): leaving an actor that could move on is put off while each of its options,
        and the step that it took instead, is *idle* (see ``live_objects``). When that step becomes
        live, what was put off is released to its level.
Rule 4: a fault in place of the last actor's step is never put off.

Why rule 2 is sound. Prefixes with one hash lead to one state. Which options are on offer follows
from the state and the last actor (who yielded and nobody moved since), and so does what it costs
to go on; so whatever can follow the prefix that is cut can follow the one seen, at the same cost.
Sleep sets have no such argument under a bound: the equivalent schedule may need more preemptions.

Why rule 3 is sound. Let a schedule leave L before its idle step l, which L takes later. Taken
before the switch instead, l gives an equivalent schedule, since l commutes with all between. The
switch costs what it did or less (L may be done now), and where l used to be, one switch away from
L and one to L are gone or remain as they were. Repeating this ends, as idle steps only move
forward, in a schedule within the bound that the search has not put off. That L may take a fault
later instead of l is why all its options must be idle.
The argument needs l to commute with *all* steps of others, not only with those seen. Take a
schedule that the search has missed, and in it the first step q that conflicts with an earlier one
over an object that is not live. What precedes q can be reordered as above, so a prefix equivalent
to it, perhaps with further idle steps, was explored. There q's actor stands before q; its option
or its wait told of the object, and so the object is live: a contradiction. This is why an option
that is only offered counts as a touch, and it is what the search asks of a system:

Rule 5: a footprint has what decides whether the option is on offer, and is opaque when in doubt. A
        fault in place of a lock reads that lock; a kill writes the locks that the death releases.
Rule 6: whoever waits for another has told what for: its failed attempt is a step that touches the
        object, or the step that led it there does. Otherwise an actor that never gets what it
        waits for (a deadlock) hides a conflict.

Time: whether an actor that yielded is on offer depends on another having moved, whoever and
however idly. So nobody else's step is idle once an actor was seen to yield.

Sources: Musuvathi and Qadeer, Iterative Context Bounding (PLDI 2007); Coons, Musuvathi and
McKinley, Bounded Partial-Order Reduction (OOPSLA 2013), which shows why sleep sets stay out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from untorn_stress.schedulers.choices import again, going_on, may_go_on
from untorn_stress.schedulers.happens_before import HappensBefore
from untorn_stress.schedulers.live_objects import LiveObjects
from untorn_stress.schedulers.protocol import (
    Ending,
    Executed,
    Footprint,
    Moment,
    NondeterminismError,
    Option,
)


class _Alternative(NamedTuple):
    """A choice not taken yet, after the first ``depth`` choices of an earlier run.

    ``hash`` is that prefix's; ``preemptions`` and ``faults`` are spent with this choice included.
    """

    path: list[str]
    depth: int
    label: str
    preemptions: int
    faults: int
    hash: int


class _Key(NamedTuple):
    """What decides all that can follow a prefix, and what it costs."""

    hash: int
    last: str


@dataclass(frozen=True, slots=True)
class _PutOff:
    """The ways to leave an actor that could move on, and the steps that it could take instead."""

    actor: str
    instead: tuple[Footprint, ...]
    alternatives: tuple[_Alternative, ...]


_BEGINNING: Final = _Alternative([], 0, "", 0, 0, 0)


class BoundedDfs:
    """All schedules of one system with at most so many preemptions and faults, but for equal ones.

    ``runs`` counts the runs that were begun, ``cut`` those of them that rule 2 cut, ``released``
    the alternatives that rule 3 had put off and gave back. ``objects`` are those of all its runs.
    """

    def __init__(
        self,
        *,
        preemptions: int,
        faults: int = 0,
        pruning: bool = True,
        idle_objects: bool = True,
    ) -> None:
        self.runs = 0
        self.cut = 0
        self.released = 0
        self._limit = preemptions
        self._fault_budget = faults
        self._pruning = pruning
        self._idle_objects = idle_objects
        self._levels: list[list[_Alternative]] = [[] for _ in range(preemptions + 1)]
        self._levels[0].append(_BEGINNING)
        self._seen: dict[_Key, int] = {}  # the fewest preemptions that led there
        self.objects = LiveObjects()
        self._put_off: list[_PutOff] = []
        self._running = False
        self._orders: list[HappensBefore] = []  # of the last run, before each of its choices
        self._steps: list[Executed | None] = []  # and the step that led there
        self._start(_BEGINNING)

    @property
    def exhaustive(self) -> bool:
        """Whether every schedule within the bound was made, or an equivalent one."""
        return self.completed == self._limit

    @property
    def completed(self) -> int:
        """The highest bound within which every schedule was made; -1 for none."""
        unfinished = [level for level, found in enumerate(self._levels) if found]
        if self._running:
            unfinished.append(self._spent)
        return min(unfinished, default=self._limit + 1) - 1

    @property
    def bound(self) -> int:
        """The preemptions spent by the current run, or by the last one."""
        return self._spent

    def begin(self) -> bool:
        """Take up the cheapest alternative left; False when there is none."""
        for level in self._levels:
            if level:
                self._start(level.pop())
                self._running = True
                self.runs += 1
                return True
        return False

    def choose(self, moment: Moment) -> Option | None:
        """Repeat the prefix, take the alternative, then go on as before.

        Raises NondeterminismError when the prefix leads elsewhere than it did.
        """
        self._follow(moment.step, moment.executed)
        if moment.step < len(self._prefix):
            return self._repeat(moment)
        self._learn(moment.executed, moment.options)
        if self._pruning and self._was_seen(moment):
            self.cut += 1
            return None
        last = moment.executed.actor if moment.executed else ""
        chosen = going_on(moment.options, last)
        self._branch(moment, last, chosen)
        self._path.append(chosen.label)
        return chosen

    def end(self, ending: Ending) -> None:
        """Learn from the last step.

        Raises NondeterminismError when the run was over before its prefix was.
        """
        self._running = False
        if self._repeated < len(self._prefix):
            raise NondeterminismError(
                f"the run ended after {self._repeated} steps; the same choices led on before"
            )
        self._learn(ending.executed, ())

    def _start(self, alternative: _Alternative) -> None:
        self._alternative = alternative
        self._prefix = alternative.path[: alternative.depth]
        if alternative.label:
            self._prefix.append(alternative.label)
        self._path = list(self._prefix)
        self._spent = alternative.preemptions
        self._repeated = 0
        self._order = HappensBefore()
        self._undecided: _PutOff | None = None

    def _follow(self, step: int, executed: Executed | None) -> None:
        """Take a step into the order; as far as the run before took the same, it is known."""
        if step < len(self._orders):
            known = self._steps[step]
            if known is executed or known == executed:
                self._order = self._orders[step]
                return
        del self._orders[step:], self._steps[step:]
        self._order = self._order.copy()
        if executed is not None:
            self._order.add(executed)
        self._orders.append(self._order)
        self._steps.append(executed)

    def _repeat(self, moment: Moment) -> Option:
        alternative = self._alternative
        if moment.step == alternative.depth and self._order.value != alternative.hash:
            raise NondeterminismError(
                f"step {moment.step}: the steps before touched other objects than they did "
                "after the same choices before"
            )
        self._repeated += 1
        return again(moment, self._prefix[moment.step])

    def _was_seen(self, moment: Moment) -> bool:
        key = self._key(moment)
        fewest = self._seen.get(key)
        if fewest is not None and fewest <= self._spent:
            return True
        self._seen[key] = self._spent
        return False

    def _key(self, moment: Moment) -> _Key:
        last = moment.executed.actor if moment.executed else ""
        return _Key(self._order.value, last)

    def _branch(self, moment: Moment, last: str, chosen: Option) -> None:
        """Note what else can be done here: at once, or instead of the last actor's next step."""
        busy = may_go_on(moment.options, last)
        faults_left = self._fault_budget - self._alternative.faults
        leaving: list[_Alternative] = []
        instead: list[Footprint] = []
        for option in reversed(moment.options):
            if option.fault and not faults_left:
                continue
            stays = option.actor == last
            if stays:
                instead.append(option.footprint)
            if option is chosen:
                continue
            if stays or not busy:
                self._levels[self._spent].append(self._alternatively(moment.step, option, 0))
            elif self._spent < self._limit:
                leaving.append(self._alternatively(moment.step, option, 1))
        if leaving:
            self._undecided = _PutOff(last, tuple(instead), tuple(leaving))

    def _alternatively(self, step: int, option: Option, preemptions: int) -> _Alternative:
        return _Alternative(
            self._path,
            step,
            option.label,
            self._spent + preemptions,
            self._alternative.faults + bool(option.fault),
            self._order.value,
        )

    def _learn(self, executed: Executed | None, options: Iterable[Option]) -> None:
        grew = executed is not None and self.objects.touched(executed.actor, executed.footprint)
        grew |= self.objects.offered(options)
        if grew:
            self._release()
        if self._undecided is not None and executed is not None:
            found = self._undecided
            self._undecided = None
            self._decide(
                _PutOff(found.actor, (*found.instead, executed.footprint), found.alternatives)
            )

    def _decide(self, found: _PutOff) -> None:
        if self._idle_objects and self.objects.idle(found.actor, found.instead):
            self._put_off.append(found)
            return
        for alternative in found.alternatives:
            self._levels[alternative.preemptions].append(alternative)

    def _release(self) -> None:
        """Decide anew on all that was put off, now that more is live."""
        waiting, self._put_off = self._put_off, []
        before = len(waiting)
        for found in waiting:
            self._decide(found)
        self.released += before - len(self._put_off)
