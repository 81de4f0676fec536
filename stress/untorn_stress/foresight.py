"""Foresight: a run whose every step is known from others need not be made to know how it goes.

A search makes most of its runs only to find, some steps after the new choice, that what follows
was explored before. Such a run is foreseen here: the scheduler is asked as ever, at moments put
together from what earlier runs showed, and the system is run only where something new would happen.

Rule 1: what a step touches, and what its actor stands before afterwards, follow from what the actor
        knows, and from the versions of what it learns of by the step (``knowledge``). Where these
        are the same, the step is.
Rule 2: what an actor stands before changes only with what the pending step was expected to touch,
        as far as it *decides* who is on offer: a footprint has that (rule 5 of ``dfs_bounded``).
Rule 3: where all know the same in the end, and the same *remains*, the steps were the same but for
        their order: what is found in them then is worked out, and where anything is, or it cannot
        be, the run is made.
Rule 4: a death is a step whose footprint is known beforehand, and the dead stand before nothing.
Rule 5: who waits for time is on offer when another has moved since, or when nobody else is. What
        comes of the wait is what came of it before: nobody is told how long it took.
Rule 6: a fault that lasts and is met by no further call is foreseen from the run in which it was
        met once (``lasting``).
Rule 7: never foreseen are moments in which nobody is on offer but somebody waits,
        what was once seen to differ, and all of a system in which actors are born.
Rule 8: what was foreseen is compared whenever a run that goes on from it is made, and one in
        ``check_every`` of the runs that were foreseen whole is made all the same. A difference is
        nondeterminism: the reductions of the search rest on the same grounds as rule 1.
Rule 9: who draws its names from the clock or a process id calls its objects otherwise in each run.
        That is no fault, but such a system cannot be foreseen: ``RenamedError``.

Source: a trace is determined by its events with their causes (Mazurkiewicz); what an actor does, by
those of them of which it learns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from types import MappingProxyType
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from untorn_stress.explore import R, R_co, System
from untorn_stress.lasting import MetOnce, Remainder
from untorn_stress.schedulers.choices import again
from untorn_stress.schedulers.knowledge import Knowledge
from untorn_stress.schedulers.protocol import (
    NOTHING,
    Ending,
    Executed,
    Footprint,
    Moment,
    NondeterminismError,
    Option,
)

CHECK_EVERY: Final = 50
"""How many foreseen runs there are to one of them that is made to see whether it goes like that."""


Choose = Callable[[Moment], Option | None]


class RenamedError(Exception):
    """A run went as was foreseen, but for the names of objects: this system is not foreseeable."""


class Foreseeable(System[R_co], Protocol):
    """A system whose runs need not have been made."""

    def decides(self, name: str) -> bool:
        """Whether the object of that name can decide who is on offer."""

    def remains(self, name: str) -> bool:
        """Whether the object is part of what a run leaves behind."""

    def reordered(self, known: Any, labels: tuple[str, ...]) -> str | None:
        """The outcome of a run of the same steps as a known one in the order of these choices.

        In both all learn the same, and the same remains. None: it must be made.
        """

    def lasted(self, known: Any, labels: tuple[str, ...], ending: Ending) -> R_co | None:
        """What a run gives that goes like a known one, but for a fault that was to last.

        None: it must be made.
        """

    def unmade(self, labels: tuple[str, ...], ending: Ending) -> R_co:
        """What a run gives that ended so, or was cut, after these choices and was not made."""


@dataclass(slots=True)
class _Way:
    """The way of a run so far: its moments, what was chosen at each, and the order before that.

    ``executed`` is what the last choice came to, where it is known.
    """

    moments: list[Moment] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    orders: list[Knowledge] = field(default_factory=list)
    executed: Executed | None = None

    def choose(self, moment: Moment, order: Knowledge, option: Option) -> None:
        """Note a choice; the order is not touched any more."""
        self.moments.append(moment)
        self.orders.append(order)
        self.labels.append(option.label)

    def leads(self, step: int, label: str) -> bool:
        """Whether the choice was made at this step, and the moment after it is noted."""
        return step + 1 < len(self.labels) and self.labels[step] == label


class Foresight(Generic[R]):
    """A system in front of another: ``made`` and ``foreseen`` count the runs of either kind."""

    def __init__(self, system: Foreseeable[R], *, check_every: int = CHECK_EVERY) -> None:
        self.made = 0
        self.foreseen = 0
        self._system = system
        self._check_every = check_every
        self._memory = _Memory(system.decides)
        self._results: dict[bytes, R] = {}  # by what all know in the end, and what remains
        self._met_once: MetOnce[R] = MetOnce()
        self._last = _Way()
        self._last_doubts = 0

    def run(self, choose: Choose) -> R:
        """Go through one run; make it from where it is not foreseen.

        Raises NondeterminismError when a run goes another way than was foreseen, RenamedError when
        it does so in names alone, and whatever the system raises.
        """
        before = self._last if self._last_doubts == self._memory.doubts else _Way()
        run = self._last = _Way()
        self._last_doubts = self._memory.doubts
        order = Knowledge()
        moment = self._memory.moment(order, 0, None)
        goes_along = True  # with the run before, whose moments need not be worked out again
        while moment is not None:
            option = choose(moment)
            if option is None:
                return self._cut(run)
            run.choose(moment, order, option)
            step = len(run.labels)
            goes_along = goes_along and before.leads(step - 1, option.label)
            if goes_along:
                moment, order = before.moments[step], before.orders[step]
                run.executed = moment.executed
                continue
            executed = run.executed = self._memory.step(order, option)
            if executed is None:
                rest = self._met_once.find(run.labels)
                return self._make(run, choose) if rest is None else self._go_on(run, rest, choose)
            order = order.copy()
            order.add(executed)
            moment = self._memory.moment(order, step, executed)
            if moment is not None and not moment.options:
                return self._over(run, order, choose)
        return self._make(run, choose)

    def _cut(self, run: _Way) -> R:
        self.foreseen += 1
        if self.foreseen % self._check_every == 0:
            return self._make(run, lambda _moment: None)
        return self._system.unmade(tuple(run.labels), Ending(run.executed, cut=True))

    def _go_on(self, run: _Way, rest: Remainder[R], choose: Choose) -> R:
        """Go on after a fault that lasts, as after it was met once."""
        order = run.orders[-1]
        for moment, label in zip(rest.moments, rest.labels, strict=True):
            run.executed = moment.executed
            order = order.copy()
            if moment.executed is not None:
                order.add(moment.executed)
            option = choose(moment)
            if option is None:
                return self._cut(run)
            run.choose(moment, order, option)
            if option.label != label:
                return self._make(run, choose)
        run.executed, labels = rest.executed, tuple(run.labels)
        ending = rest.result.ending._replace(executed=rest.executed)
        result = self._system.lasted(rest.result, labels, ending)
        return self._make(run, choose) if result is None else self._foreseen(run, result)

    def _foreseen(self, run: _Way, result: R) -> R:
        """Count a run that is foreseen whole; it is made all the same now and then."""
        self.foreseen += 1
        if self.foreseen % self._check_every == 0:
            made = self._make(run, lambda _moment: None)
            if made.ending != result.ending:
                raise NondeterminismError(
                    f"the run ended with {made.ending}, where {result.ending} was foreseen"
                )
        return result

    def _over(self, run: _Way, order: Knowledge, choose: Choose) -> R:
        known = self._results.get(order.left(self._system.remains))
        labels = tuple(run.labels)
        outcome = None if known is None else self._system.reordered(known, labels)
        if outcome is None:
            return self._make(run, choose)
        ending = Ending(run.executed, cut=False, outcome=outcome)
        return self._foreseen(run, self._system.unmade(labels, ending))

    def _make(self, run: _Way, choose: Choose) -> R:
        """Make the run: what was foreseen of it is compared, what comes after it is learned."""
        foreseen, asked, is_known = len(run.labels), 0, True
        order = run.orders[-1].copy() if run.orders else Knowledge()
        moments: list[Moment] = []
        labels: list[str] = []

        def choose_again(moment: Moment) -> Option | None:
            nonlocal asked, is_known, order
            asked += 1
            moments.append(moment)
            if moment.step < foreseen:
                if moment != run.moments[moment.step]:
                    raise _difference(run.moments[moment.step], moment)
                labels.append(run.labels[moment.step])
                return again(moment, labels[-1])
            is_known = self._memory.learn(order, moment) and is_known
            option = choose(moment)
            if option is not None:
                labels.append(option.label)
                if is_known:
                    run.choose(moment, order, option)
                    order = order.copy()
            return option

        result = self._system.run(choose_again)
        self.made += 1
        if asked < foreseen:
            raise NondeterminismError(
                f"the run ended after {asked} steps, though {foreseen} were foreseen"
            )
        if not result.ending.cut:
            self._memory.learn_end(order, result.ending)
            self._results[order.left(self._system.remains)] = result
            self._met_once.learn(moments, labels, result.ending.executed, result)
        return result


# --- what is known of a system --------------------------------------------------------------------

V = TypeVar("V")


class _Stand(NamedTuple):
    """What an actor stands before: what it is offered, or what it waits for, or neither."""

    options: tuple[Option, ...]
    waiting: tuple[Option, ...]

    def is_fresh(self, last: str | None) -> bool:
        """Whether it is offered something where this actor, None for none, has moved last.

        Who waits for time is, when another has moved since; else only where nobody is fresh.
        """
        if not self.options:
            return False
        first = self.options[0]
        return not first.yielded or last not in (None, first.actor)


_UNKNOWN: Final[Mapping[Footprint, Mapping[bytes, Any]]] = MappingProxyType({})


class _Known(Generic[V]):
    """Values by what led there: a name, what the actor knew, and what it learned of a footprint.

    ``doubts`` counts how often the same had led to something else.
    """

    def __init__(self) -> None:
        self.doubts = 0
        self._found: dict[tuple[str, bytes], dict[Footprint, dict[bytes, V | None]]] = {}

    def find(self, led: tuple[str, bytes], order: Knowledge) -> V | None:
        """The value that came before where the same had led; None for none, or for several."""
        came: V | None = None
        for footprint, values in self._found.get(led, _UNKNOWN).items():
            causes = order.learned(footprint)
            if causes in values:
                value = values[causes]
                if value is None or (came is not None and came != value):
                    return None
                came = value
        return came

    def add(self, led: tuple[str, bytes], order: Knowledge, footprint: Footprint, value: V) -> None:
        """Take a value in."""
        known = self._found.setdefault(led, {})
        values = known.setdefault(footprint, {})
        causes = order.learned(footprint)
        if values.setdefault(causes, value) != value:
            values[causes] = None
            self.doubts += 1
        elif len(known) > 1 and self.find(led, order) is None:
            self.doubts += 1


class _Memory:
    """What each step touched, and where each actor stood, by what led there.

    ``decides`` tells which objects can decide that.
    """

    def __init__(self, decides: Callable[[str], bool]) -> None:
        self._decides = decides
        self._deciding: dict[tuple[Footprint, ...], Footprint] = {}
        self._actors: tuple[str, ...] = ()
        self._is_blind = False
        self._steps: _Known[Footprint] = _Known()
        self._stands: _Known[_Stand] = _Known()

    @property
    def doubts(self) -> int:
        """How often something was learned that takes back what was known."""
        return self._steps.doubts + self._stands.doubts + self._is_blind

    def step(self, order: Knowledge, option: Option) -> Executed | None:
        """What the option would come to, None where that is not known."""
        if option.footprint.ends and not option.footprint.opaque:
            return Executed(option.actor, option.label, option.footprint)
        footprint = self._steps.find((option.label, order.of(option.actor)), order)
        return None if footprint is None else Executed(option.actor, option.label, footprint)

    def moment(self, order: Knowledge, step: int, executed: Executed | None) -> Moment | None:
        """The moment after these steps, None where that is not known; no options: all is over."""
        if self._is_blind or not self._actors:
            return None
        stands: list[_Stand] = []
        for actor in self._actors:
            stand = self._stands.find((actor, order.of(actor)), order)
            if stand is None:
                return None
            stands.append(stand)
        last = executed.actor if executed else None
        is_fresh = any(stand.is_fresh(last) for stand in stands)
        options: tuple[Option, ...] = ()
        waiting: tuple[Option, ...] = ()
        for stand in stands:
            if stand.is_fresh(last) or not is_fresh:
                options += stand.options
                waiting += stand.waiting
            else:
                waiting += (*stand.options[:1], *stand.waiting)
        return Moment(step, options, executed, waiting) if options or not waiting else None

    def learn(self, order: Knowledge, moment: Moment) -> bool:
        """Take in what a run shows: its last step, which joins the order, and who stands where.

        Returns whether such a moment is foreseen from now on.
        """
        if moment.executed is not None:
            self.learn_step(order, moment.executed)
        present = {option.actor for option in (*moment.options, *moment.waiting)}
        if moment.step == 0:
            self._actors = self._actors or tuple(sorted(present))
        self._is_blind = self._is_blind or not present.issubset(self._actors)
        if self._is_blind:
            return False
        return self._learn_stands(order, moment.options, moment.waiting)

    def learn_end(self, order: Knowledge, ending: Ending) -> None:
        """Take in the last step of a run, which joins the order, and who waits for ever."""
        if ending.executed is not None:
            self.learn_step(order, ending.executed)
        self._learn_stands(order, (), ending.waiting)

    def _learn_stands(
        self, order: Knowledge, offered: tuple[Option, ...], awaited: tuple[Option, ...]
    ) -> bool:
        """Take in where each actor stands; False where one waits for time and is not on offer.

        What else may befall it, but that the time passes, is seen when it is.
        """
        are_known = True
        for actor in self._actors:
            options = tuple(each for each in offered if each.actor == actor)
            waiting = tuple(each for each in awaited if each.actor == actor)
            if any(each.yielded for each in waiting):
                are_known = False
                continue
            led, both = (actor, order.of(actor)), (*options, *waiting)
            self._stands.add(led, order, self._decisive(both), _Stand(options, waiting))
        return are_known

    def _decisive(self, options: Iterable[Option]) -> Footprint:
        """What decides that these are on offer, or not."""
        footprints = tuple(option.footprint for option in options)
        known = self._deciding.get(footprints)
        if known is None:
            touched = reduce(Footprint.joined, footprints, NOTHING)
            seen = frozenset(filter(self._decides, touched.seen))
            reads, writes = touched.reads & seen, touched.writes & seen
            known = self._deciding[footprints] = Footprint(reads, writes, touched.opaque)
        return known

    def learn_step(self, order: Knowledge, executed: Executed) -> None:
        """Take in a step, and add it to the order."""
        led = (executed.label, order.of(executed.actor))
        self._steps.add(led, order, executed.footprint, executed.footprint)
        order.add(executed)


def _difference(foreseen: Moment, found: Moment) -> Exception:
    """The error that says where a run left what was foreseen."""
    where = f"step {found.step}: equivalent schedules led to"
    if _shape(foreseen) == _shape(found):
        return RenamedError(f"{where} other names than were foreseen")
    if foreseen.executed != found.executed:
        message = f"{where} {found.executed}, where {foreseen.executed} was foreseen"
    else:
        message = f"{where} {_stands(found)}, where {_stands(foreseen)} was foreseen"
    return NondeterminismError(message)


def _shape(moment: Moment) -> tuple[object, ...]:
    """What there is of a moment when objects have no names."""

    def of(footprint: Footprint) -> tuple[object, ...]:
        reads, writes = (
            [name[:2] for name in each] for each in (footprint.reads, footprint.writes)
        )
        return sorted(reads), sorted(writes), footprint.opaque

    stands = [
        (each.label, each.yielded, of(each.footprint))
        for each in (*moment.options, *moment.waiting)
    ]
    step = moment.executed
    return len(moment.options), stands, None if step is None else (step.label, of(step.footprint))


def _stands(moment: Moment) -> str:
    offered = ", ".join(f"{each.label} {each.footprint}" for each in moment.options)
    waiting = ", ".join(each.label for each in moment.waiting)
    return f"{offered} on offer and {waiting or 'nobody'} waiting"
