"""What a storm is asked to do, and what a round of it draws: pure values, from the seed alone.

Rule 1: all that is drawn comes from ``dice(seed, ...)``: a storm's plan is a function of its seed.
Rule 2: real time is not drawn: a seed repeats the plan of a storm, and not its races.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from untorn_conformance.backend import Setting

from untorn_stress.storm.nemesis.catalogue import NEMESES, SMALL_DISK

CLEAR_ROUNDS: Final = 3
"""One round in three has no strike but kills: there, next to nothing is excused."""

SMALL_ROUNDS: Final = 3
"""One round in three rages on the small file system, where a nemesis needs it."""

_FEWEST_S: Final = 2.0
_MORE_S: Final = 3.0
_STRIKES: Final = 3
_MARGIN_S: Final = 0.5
"""How much longer than each of its strikes a round works at least."""

_DAY_S: Final = 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """The options of a storm. ``work_s`` fixes how long a round works.

    ``nemeses`` are names; ``named`` are those of them that were asked for by name: a storm in which
    one of these never bit has not done what it was asked to do.
    """

    seed: int
    duration_s: float
    readers: int = 6
    writers: int = 4
    collectors: int = 2
    extractors: int = 0
    kills_per_s: float = 10.0
    nemeses: tuple[str, ...] = tuple(NEMESES)
    named: tuple[str, ...] = ()
    keys: int = 24
    frames: int = 4
    min_age_s: float = 2.0
    budget_mb: int = 64
    work_s: float | None = None

    @property
    def slots(self) -> tuple[str, ...]:
        """The role of each slot."""
        counted = (
            ("reader", self.readers),
            ("writer", self.writers),
            ("collector", self.collectors),
            ("extractor", self.extractors),
        )
        return tuple(role for role, count in counted for _ in range(count))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the keys."""
        return tuple(f"k{number}" for number in range(1, self.keys + 1))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the files of every version, in frame order."""
        return tuple(f"frame_{number:05d}.png" for number in range(1, self.frames + 1))

    def environment(self, variables: Mapping[Setting, str]) -> dict[str, str]:
        """The variables that set the age and the budget, where the backend names some."""
        values = {
            Setting.MIN_AGE_S: f"{self.min_age_s:g}",
            Setting.BUDGET_MB: str(self.budget_mb),
        }
        return {variables[each]: value for each, value in values.items() if each in variables}

    @property
    def needs_small(self) -> bool:
        """Whether a nemesis needs a small file system."""
        return not SMALL_DISK.isdisjoint(self.nemeses)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedStrike:
    """A strike to come: who, how long after the work begins, and what it is drawn from."""

    nemesis: str
    at_s: float
    dice_seed: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundPlan:
    """What a round draws.

    Pending answers are waited for at its end. ``drains``: meanwhile nobody asks anything new, so
    that all are idle when they are killed; otherwise they are killed amid their work.
    """

    number: int
    is_small: bool
    work_s: float
    drains: bool
    spares: bool
    strikes: tuple[PlannedStrike, ...]


def dice(*parts: object) -> Random:
    """Dice for one purpose; equal parts give equal dice, in every process."""
    return Random(":".join(map(str, parts)))  # noqa: S311 (it has to be repeatable)


def plan_round(wanted: Wanted, number: int, *, has_small: bool) -> RoundPlan:
    """Draw a round, counted from 1."""
    drawn = dice(wanted.seed, number, "round")
    is_small = has_small and number % SMALL_ROUNDS == 2 % SMALL_ROUNDS
    able = [each for each in wanted.nemeses if each != "kill" and (each in SMALL_DISK) <= is_small]
    turn: list[str] = []
    if able and number % CLEAR_ROUNDS:
        turn = _turn(able, wanted, number, has_small=has_small)
        if is_small and SMALL_DISK.isdisjoint(turn):
            turn[0] = drawn.choice([each for each in able if each in SMALL_DISK])
    work_s = wanted.work_s or _FEWEST_S + drawn.random() * _MORE_S
    work_s = max([work_s, *(NEMESES[name].lasts_s + _MARGIN_S for name in turn)])
    strikes = [
        *_kills(wanted, drawn, number, work_s),
        *_others(turn, wanted, drawn, number, work_s),
    ]
    return RoundPlan(
        number=number,
        is_small=is_small,
        work_s=work_s,
        drains=drawn.random() < 0.5,  # noqa: PLR2004
        spares=drawn.random() < 0.5,  # noqa: PLR2004
        strikes=tuple(sorted(strikes, key=lambda each: each.at_s)),
    )


def _kills(wanted: Wanted, drawn: Random, number: int, work_s: float) -> list[PlannedStrike]:
    """Kills at random instants, so many a second."""
    if "kill" not in wanted.nemeses or wanted.kills_per_s <= 0:
        return []
    found: list[PlannedStrike] = []
    at_s = drawn.expovariate(wanted.kills_per_s)
    while at_s < work_s:
        seed = f"{wanted.seed}:{number}:kill:{len(found)}"
        found.append(PlannedStrike(nemesis="kill", at_s=at_s, dice_seed=seed))
        at_s += drawn.expovariate(wanted.kills_per_s)
    return found


def _turn(able: Sequence[str], wanted: Wanted, number: int, *, has_small: bool) -> list[str]:
    """Whose turn it is: the seed decides the order, in which all come round again and again."""
    order = dice(wanted.seed, "turns").sample(able, len(able))
    # Rounds of one kind (main, small) are every third, or two of three where all are of one kind.
    rounds = number // CLEAR_ROUNDS if has_small else number - 1 - number // CLEAR_ROUNDS
    first = rounds * _STRIKES
    count = min(len(able), _STRIKES)
    return [order[(first + each) % len(order)] for each in range(count)]


def _others(
    turn: Sequence[str], wanted: Wanted, drawn: Random, number: int, work_s: float
) -> list[PlannedStrike]:
    """The strikes of those whose turn it is, somewhere in the round."""
    found = []
    for index, name in enumerate(dict.fromkeys(turn)):
        room_s = max(work_s - NEMESES[name].lasts_s - 0.2, 0.1)
        found.append(
            PlannedStrike(
                nemesis=name,
                at_s=drawn.random() * room_s,
                dice_seed=f"{wanted.seed}:{number}:{name}:{index}",
            )
        )
    return found
