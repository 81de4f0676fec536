"""What a nemesis is: it strikes a field, tells whether it bit, and heals what it broke.

Rule 1: a strike that was not seen to work counts as tried, not as bitten.
Rule 2: a nemesis says what its strike may excuse, and nothing else is excused.
Rule 3: ``heal`` works on whatever is there by then: others strike, too, and workers go on.

Source: Kingsbury, Jepsen (nemesis.clj).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Protocol

from untorn_conformance.history import Excuse

from untorn_stress.storm.aiming import Shot
from untorn_stress.storm.crew import StormWorker


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """An answer by which a backend said that something was kept from it."""

    at_ns: int
    process: str
    verb: str
    reason: str
    message: str = ""


class Field(Protocol):
    """Where a nemesis strikes: the work of one round."""

    @property
    def root(self) -> Path:
        """The cache's root, as we see it."""

    @property
    def is_small(self) -> bool:
        """Whether the root is on a small file system of its own."""

    @property
    def is_privileged(self) -> bool:
        """Whether permissions mean nothing to the workers."""

    @property
    def has_clock(self) -> bool:
        """Whether the backend takes a clock offset."""

    @property
    def min_age_s(self) -> float:
        """The age below which nothing is evicted, as configured."""

    def has_role(self, role: str) -> bool:
        """Whether workers of a role take part."""

    def living(self, role: str = "") -> Sequence[StormWorker]:
        """The workers that run, or are stopped; of one role or of all."""

    def is_spared(self, worker: StormWorker) -> bool:
        """Whether a worker is to live long: no kill that is drawn strikes it."""

    def aim(self, verb: str, part: float) -> Shot:
        """Kill whoever is next asked a verb, amid it; ``part`` is of the time that it takes."""

    def kill(self, worker: StormWorker) -> None:
        """SIGKILL it, and nothing that it started."""

    def stop(self, worker: StormWorker) -> bool:
        """SIGSTOP it; whether it was seen to stand still."""

    def resume(self, worker: StormWorker) -> None:
        """SIGCONT it, if it lives."""

    def death_of(self, name: str) -> str:
        """How a process ended; empty while it was not told."""

    def refused_since(self, at_ns: int) -> Sequence[Refused]:
        """The refusals since an instant."""

    def evicted_since(self, at_ns: int) -> int:
        """How many entries collects have evicted since an instant."""

    def answers_of(self, slot: int) -> int:
        """How many answers the workers of a slot have given in this round."""

    def offset(self, slot: int, seconds: float) -> None:
        """What the clock of workers that start in this slot is off by."""

    def make_root(self) -> None:
        """Make the root again, the workers' own, if it is not there."""


@dataclass(slots=True, kw_only=True)
class Blow:
    """A strike under way.

    ``over`` says when it is to be healed, ``proof`` whether a worker was seen to meet it;
    ``in_force`` that something was done that they may have met: otherwise nothing is excused.
    """

    name: str
    excuses: tuple[Excuse, ...]
    proof: Callable[[], bool]
    over: Callable[[], bool]
    heal: Callable[[], None] = lambda: None
    begin_ns: int = 0
    detail: str = ""
    processes: tuple[str, ...] = ()
    in_force: bool = True


class Nemesis(Protocol):
    """One kind of fault. ``lasts_s`` is how long a strike takes at most, for the round's plan."""

    @property
    def name(self) -> str:
        """Its name in options, histories and reports."""

    @property
    def excuses(self) -> tuple[Excuse, ...]:
        """What its strikes may excuse."""

    @property
    def lasts_s(self) -> float:
        """How much of a round a strike may take."""

    def cannot(self, field: Field) -> str:
        """Why it cannot strike here; empty where it can."""

    def strike(self, field: Field, dice: Random) -> Blow | None:
        """Strike; None where there is nothing to strike just now. Raises OSError."""


def after(seconds: float) -> Callable[[], bool]:
    """Over when so much time has passed."""
    end_s = time.monotonic() + seconds
    return lambda: time.monotonic() >= end_s


def kills(field: Field, name: str, victims: Sequence[StormWorker], detail: str) -> Blow:
    """Kill these workers; it bit if each was told to have died of it."""
    begin_ns = time.monotonic_ns()
    for each in victims:
        field.kill(each)
    names = tuple(each.name for each in victims)
    return Blow(
        name=name,
        excuses=(Excuse.KILLS,),
        begin_ns=begin_ns,
        over=lambda: all(field.death_of(each) for each in names),
        proof=lambda: all(field.death_of(each) == "SIGKILL" for each in names),
        detail=detail,
        processes=names,
    )
