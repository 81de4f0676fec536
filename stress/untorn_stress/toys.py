"""Toys: little concurrent programs, run in this process, to try schedulers on.

A program has up to three actors of a few steps over a few variables, each with one register. It has
what real workers have: locks that block, steps that can fail or be killed, tests that depend on
others, polling, and steps of which nobody knows what they touch. ``toy_programs`` draws them.

Rule 1: a program's steps are values, and all that a run can show is its outcome: memory, registers,
        and how each actor ended. Registers keep all that was read, so little is forgotten.
Rule 2: a footprint tells what a step touched. The expected one may name more (a condition that may
        not hold) or less (the lock that the actor comes to stand before). What decides whether an
        option is on offer is in its footprint too: a fault in place of a lock reads the lock.
Rule 3: waiting for a lock is one of two things, by program. ATTEMPT, as at the gate: the attempt is
        a step that reads the lock, and who fails is disabled until it is free. DISABLED: there is
        no attempt, and the step that leads to a lock reads it.
Rule 4: a lock outlives its owner's program, not its owner's death. Deadlock is an outcome.
Rule 5: to share a lock reads it: who shares it does not see the others. Who wants it alone does, so
        an attempt that sharers bar is a write.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from untorn_stress.schedulers.protocol import (
    NOTHING,
    Ending,
    Executed,
    Footprint,
    Moment,
    Option,
    Scheduler,
)


class Act(StrEnum):
    """What a step does to its variable ``v`` and its actor's register ``r``."""

    READ = "r=3r+v"
    WRITE = "v=k"
    STORE = "v=(r+k)%5"
    WRITE_IF = "if r%3==k: v=k+1"
    REPLACE_IF = "if v==k: v=k+1"
    LOCK = "lock"
    TRY = "try, r=3r+got"
    SHARE = "try to share, r=3r+got"
    UNLOCK = "unlock"
    POLL = "until v or twice, r=3r+v"
    PAUSE = "pause"


class Fault(StrEnum):
    """What may happen instead of a step: it fails and the actor goes on, or the actor dies."""

    EIO = "EIO"
    KILL = "kill"


class Waiting(StrEnum):
    """How an actor waits for a lock (rule 3)."""

    ATTEMPT = "attempt"
    DISABLED = "disabled"


NAMES: Final = ("A", "B", "C")
POLLS: Final = 2  # a poll gives up after so many looks

_BLIND: Final = frozenset({Act.WRITE, Act.STORE, Act.WRITE_IF, Act.UNLOCK})
"""What shows its actor nothing of what was there."""

_LOCKING: Final = frozenset({Act.LOCK, Act.TRY, Act.SHARE, Act.UNLOCK})


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyStep:
    """One step: ``value`` is the k of its kind; ``opaque`` hides what it touches.

    ``also`` is a variable that a WRITE sets besides: one thing that is two objects, as a directory.
    ``footprint`` is what is known of it beforehand.
    """

    kind: Act
    variable: str = ""
    value: int = 1
    faults: tuple[Fault, ...] = ()
    opaque: bool = False
    also: str = ""

    footprint: Footprint = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "footprint", self._expected())

    def __str__(self) -> str:
        names = f"{self.variable},{self.also}" if self.also else self.variable
        rest = f"{' opaque' * self.opaque}{''.join(self.faults)}"
        return f"[{names}: {self.kind}; k={self.value}{rest}]"

    def _expected(self) -> Footprint:
        touched = frozenset({self.variable})
        if self.opaque:
            return Footprint(opaque=True)
        if self.kind is Act.PAUSE:
            return NOTHING
        if self.kind in {Act.READ, Act.POLL}:
            return Footprint(reads=touched)
        if self.kind is Act.SHARE:
            return Footprint(reads=touched, marks=touched)
        if self.kind is Act.REPLACE_IF:
            return Footprint(reads=touched, writes=touched)
        written = touched | ({self.also} if self.also else set())
        return Footprint(writes=written, unseen=written if self.kind in _BLIND else frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The steps of each actor, and how they wait for locks."""

    actors: tuple[tuple[ToyStep, ...], ...]
    waiting: Waiting = Waiting.ATTEMPT

    def __str__(self) -> str:
        lines = [f"waiting: {self.waiting}"]
        for name, steps in zip(NAMES, self.actors, strict=False):
            told = [str(step) for step in steps]
            lines.append(f"{name}: {' '.join(told)}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyResult:
    """What came of a run: its ending, and the choices that led there."""

    ending: Ending
    labels: tuple[str, ...]


class _Actor:
    """One actor amid its program. ``offers`` are its options, which only its own steps change."""

    __slots__ = (
        "dead",
        "failed",
        "name",
        "offers",
        "pending",
        "polled",
        "register",
        "steps",
        "waits",
    )

    def __init__(self, name: str, steps: tuple[ToyStep, ...]) -> None:
        self.name = name
        self.steps = iter(steps)
        self.pending = next(self.steps, None)
        self.offers: tuple[Option, ...] = ()
        self.register = 0
        self.polled = 0
        self.failed = 0
        self.waits = False
        self.dead = False

    @property
    def yielded(self) -> bool:
        """Whether the actor waits for time to pass."""
        return self.polled > 0 or (self.pending is not None and self.pending.kind is Act.PAUSE)

    def go_on(self) -> None:
        """Stand before the next step."""
        self.pending = next(self.steps, None)
        self.polled = 0
        self.waits = False

    def die(self) -> None:
        """Stand before nothing."""
        self.dead = True
        self.pending = None
        self.polled = 0


class _Machine:
    """The state of one run."""

    def __init__(self, program: Program, memory: Mapping[str, int]) -> None:
        self.attempts = program.waiting is Waiting.ATTEMPT
        self.memory = dict(memory)
        self.owners: dict[str, str] = {}
        self.sharers: set[tuple[str, str]] = set()  # lock, actor
        self.last = ""
        self.actors = [
            _Actor(name, steps) for name, steps in zip(NAMES, program.actors, strict=False)
        ]
        for actor in self.actors:
            actor.offers = self._offers(actor)

    def options(self) -> tuple[Option, ...]:
        """What can happen next; empty when the run is over."""
        ready = [actor for actor in self.actors if actor.offers and not self._disabled(actor)]
        rested = [a for a in ready if not a.yielded or self.last not in ("", a.name)]
        return tuple(option for actor in rested or ready for option in actor.offers)

    def waiting(self, options: tuple[Option, ...]) -> tuple[Option, ...]:
        """Who stands before a step that is not among these."""
        offered = {option.actor for option in options}
        return tuple(
            option for a in self.actors if a.name not in offered for option in a.offers[:1]
        )

    def _disabled(self, actor: _Actor) -> bool:
        step = actor.pending
        assert step is not None
        if step.kind is not Act.LOCK or (self.attempts and not actor.waits):
            return False
        return self._is_barred(step.variable, actor)

    def _is_barred(self, lock: str, actor: _Actor) -> bool:
        return self._held(lock, actor) or self._shared(lock, actor)

    def _held(self, lock: str, actor: _Actor) -> bool:
        return self.owners.get(lock, actor.name) != actor.name

    def _shared(self, lock: str, actor: _Actor) -> bool:
        return any(shared == lock and name != actor.name for shared, name in self.sharers)

    def _offers(self, actor: _Actor) -> tuple[Option, ...]:
        step = actor.pending
        if step is None:
            return ()
        offers = [Option(actor.name, step.footprint, yielded=actor.yielded)]
        for fault in step.faults:
            footprint = self._instead(actor, step, fault)
            offers.append(Option(actor.name, footprint, fault=fault, yielded=actor.yielded))
        return tuple(offers)

    def _instead(self, actor: _Actor, step: ToyStep, fault: str) -> Footprint:
        """What a fault touches: what it is on offer by, and the locks that a death releases."""
        awaited = {step.variable} if step.kind is Act.LOCK else set()
        owned = {lock for lock, owner in self.owners.items() if owner == actor.name}
        owned |= {lock for lock, sharer in self.sharers if sharer == actor.name}
        dies = fault == Fault.KILL
        return Footprint(frozenset(awaited), frozenset(owned if dies else ()), ends=dies)

    def take(self, option: Option) -> Executed:
        """Let one option happen."""
        actor = self.actors[NAMES.index(option.actor)]
        step = actor.pending
        assert step is not None
        if option.fault:
            footprint = self._instead(actor, step, option.fault)
            actor.failed += 1
            actor.go_on()
        else:
            footprint = self._act(actor, step)
        if option.fault == Fault.KILL:
            actor.die()
            for lock in footprint.writes:
                self._give_back(lock, actor)
        actor.offers = self._offers(actor)
        self.last = actor.name
        return Executed(actor.name, option.label, self._arriving(actor, footprint))

    def _give_back(self, lock: str, actor: _Actor) -> None:
        if self.owners.get(lock) == actor.name:
            del self.owners[lock]
        self.sharers.discard((lock, actor.name))

    def _arriving(self, actor: _Actor, footprint: Footprint) -> Footprint:
        step = actor.pending
        if self.attempts or step is None or step.kind is not Act.LOCK:
            return footprint
        reads, unseen = footprint.reads | {step.variable}, footprint.unseen - {step.variable}
        return footprint._replace(reads=reads, unseen=unseen)

    def _act(self, actor: _Actor, step: ToyStep) -> Footprint:
        """Take the step, or find that it must wait; returns what it really touched."""
        if step.kind is Act.LOCK and self._is_barred(step.variable, actor):
            actor.waits = True
            return self._barred(step, actor)
        if step.kind is Act.POLL:
            actor.polled += 1
            if not self.memory.get(step.variable) and actor.polled < POLLS:
                return step.footprint
        touched = self._lock(actor, step) if step.kind in _LOCKING else self._compute(actor, step)
        actor.go_on()
        return touched

    def _lock(self, actor: _Actor, step: ToyStep) -> Footprint:
        lock = step.variable
        if step.kind is Act.UNLOCK:
            self._give_back(lock, actor)
            return step.footprint
        is_share = step.kind is Act.SHARE
        barred = self._held(lock, actor) if is_share else self._is_barred(lock, actor)
        if step.kind is not Act.LOCK:
            actor.register = 3 * actor.register + (not barred)
        if barred:
            return self._barred(step, actor)
        if is_share:
            self.sharers.add((lock, actor.name))
        else:
            self.owners[lock] = actor.name
        return step.footprint

    def _barred(self, step: ToyStep, actor: _Actor) -> Footprint:
        """What an attempt touches that fails: it sees the owner, or the sharers (rule 5)."""
        if self._held(step.variable, actor):
            return Footprint(reads=frozenset({step.variable}))
        return Footprint(writes=frozenset({step.variable}))

    def _compute(self, actor: _Actor, step: ToyStep) -> Footprint:
        name, value = step.variable, step.value
        found = self.memory.get(name, 0)
        touched = step.footprint
        match step.kind:
            case Act.READ | Act.POLL:
                actor.register = 3 * actor.register + found
            case Act.WRITE:
                self.memory[name] = value
                if step.also:
                    self.memory[step.also] = value
            case Act.STORE:
                self.memory[name] = (actor.register + value) % 5
            case Act.WRITE_IF if actor.register % 3 != value:
                touched = NOTHING
            case Act.REPLACE_IF if found != value:
                touched = Footprint(reads=frozenset({name}))
            case Act.WRITE_IF | Act.REPLACE_IF:
                self.memory[name] = value + 1
        return step.footprint if step.opaque else touched

    def outcome(self) -> str:
        """All that the run can show."""
        memory = [f"{name}={value}" for name, value in sorted(self.memory.items())]
        locks = [f"{name}:{owner}" for name, owner in sorted(self.owners.items())]
        locks += [f"{name}/{sharer}" for name, sharer in sorted(self.sharers)]
        actors = [
            f"{a.name} is dead"  # and what it knew is gone
            if a.dead
            else f"{a.name} r={a.register} failed={a.failed} {'stuck' if a.pending else 'done'}"
            for a in self.actors
        ]
        return "; ".join([*memory, *locks, *actors])


@dataclass(frozen=True, slots=True)
class ToySystem:
    """A program as a system that schedulers drive; variables hold ``memory`` first, else 0."""

    program: Program
    memory: Mapping[str, int] = field(default_factory=dict)

    def run(self, choose: Callable[[Moment], Option | None]) -> ToyResult:
        """Make one whole run from the beginning, or up to where ``choose`` returns None."""
        machine = _Machine(self.program, self.memory)
        labels: list[str] = []
        executed: Executed | None = None
        while options := machine.options():
            waiting = machine.waiting(options)
            option = choose(Moment(len(labels), options, executed, waiting))
            if option is None:
                return ToyResult(ending=Ending(executed, cut=True), labels=tuple(labels))
            executed = machine.take(option)
            labels.append(option.label)
        waiting = machine.waiting(())
        ending = Ending(executed, cut=False, outcome=machine.outcome(), waiting=waiting)
        return ToyResult(ending=ending, labels=tuple(labels))

    @staticmethod
    def reordered(known: ToyResult, _labels: tuple[str, ...]) -> str:
        """What comes of the same steps in another order, where all learned the same."""
        return known.ending.outcome

    @staticmethod
    def decides(_variable: str) -> bool:
        """Whether a variable can decide who is on offer."""
        return True

    @staticmethod
    def remains(_variable: str) -> bool:
        """Whether a variable is part of the outcome."""
        return True

    @staticmethod
    def lasted(_known: ToyResult, _labels: tuple[str, ...], _ending: Ending) -> None:
        """No fault of a toy lasts."""

    @staticmethod
    def unmade(labels: tuple[str, ...], ending: Ending) -> ToyResult:
        """What a run gives that ended so, or was cut, after these choices and was not made."""
        return ToyResult(ending=ending, labels=labels)


def outcomes(
    program: Program, scheduler: Scheduler, memory: Mapping[str, int] = MappingProxyType({})
) -> set[str]:
    """Every outcome that the scheduler finds."""
    system = ToySystem(program, memory)
    found = set()
    while scheduler.begin():
        ending = system.run(scheduler.choose).ending
        scheduler.end(ending)
        if not ending.cut:
            found.add(ending.outcome)
    return found
