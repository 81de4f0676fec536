"""Toy programs, drawn from a seed: every feature that a scheduler can get wrong, in some of them.

Rule 1: a feature (locks, faults, time, opaque steps) is in a program or it is not, so that a search
        which is wrong about one is not hidden by the caution that another asks of it.
Rule 2: the same seed gives the same program, on every machine.
"""

from __future__ import annotations

import random
from typing import Final

from untorn_stress.toys import NAMES, Act, Fault, Program, ToyStep, Waiting

_SHARED: Final = ("x", "y")
_LOCKS: Final = ("m", "n")
_PLAIN: Final = (Act.READ, Act.WRITE, Act.STORE, Act.WRITE_IF, Act.REPLACE_IF)
_TRIES: Final = (Act.TRY, Act.SHARE)
_TIMED: Final = (*_PLAIN, Act.POLL, Act.PAUSE)

# The chance of each feature in a program, and of what it brings at each place where it can be.
_TIME_CHANCE: Final = 0.3
_LOCKS_CHANCE: Final = 0.7
_GUARD_CHANCE: Final = 0.7
_TRY_CHANCE: Final = 0.5
_UNLOCK_CHANCE: Final = 0.8
_OPAQUE_CHANCES: Final = (0.15, 0.15)
_FAULT_CHANCES: Final = (0.5, 0.2)
_ALSO_CHANCES: Final = (0.3, 0.5)


def random_program(seed: int, *, tiny: bool = False) -> Program:
    """Draw a program; the schedules of a ``tiny`` one can all be made without a bound."""
    return _Drawing(random.Random(seed), tiny=tiny).program()  # noqa: S311 - seeded on purpose


class _Drawing:
    """One draw: which features the program has, then its steps."""

    def __init__(self, rng: random.Random, *, tiny: bool) -> None:
        self.rng = rng
        self.most = {2: 3, 3: 2} if tiny else {2: 5, 3: 3}
        self.kinds = _TIMED if self._happens(_TIME_CHANCE) else _PLAIN
        self.locks = self._happens(_LOCKS_CHANCE)
        self.opaque_chance = self._chance(*_OPAQUE_CHANCES)
        self.fault_chance = self._chance(*_FAULT_CHANCES)
        self.also_chance = self._chance(*_ALSO_CHANCES)

    def _happens(self, chance: float) -> bool:
        return self.rng.random() < chance

    def _chance(self, of_feature: float, of_each: float) -> float:
        return of_each if self._happens(of_feature) else 0.0

    def program(self) -> Program:
        """The program, complete."""
        actors = self.rng.choice((2, 2, 2, 3))
        return Program(
            actors=tuple(self._steps(NAMES[i], self.most[actors]) for i in range(actors)),
            waiting=self.rng.choice(list(Waiting)),
        )

    def _steps(self, actor: str, most: int) -> tuple[ToyStep, ...]:
        steps = [self._step(actor) for _ in range(self.rng.randint(2, most))]
        if self.locks and self._happens(_GUARD_CHANCE):
            self._guard(steps)
        return tuple(steps)

    def _step(self, actor: str) -> ToyStep:
        kind = self.rng.choice(self.kinds)
        variable = self.rng.choice((*_SHARED, *_SHARED, f"own {actor}"))
        return ToyStep(
            kind=kind,
            variable="" if kind is Act.PAUSE else variable,
            value=self.rng.randint(0, 2),
            faults=self._faults(),
            opaque=kind in _PLAIN and self._happens(self.opaque_chance),
            also=self._also(kind, variable),
        )

    def _also(self, kind: Act, variable: str) -> str:
        """What a write sets besides; nothing is drawn where no step of the program does that."""
        if kind is not Act.WRITE or not self.also_chance or not self._happens(self.also_chance):
            return ""
        return self.rng.choice([name for name in _SHARED if name != variable])

    def _faults(self) -> tuple[Fault, ...]:
        return tuple(fault for fault in Fault if self._happens(self.fault_chance))

    def _guard(self, steps: list[ToyStep]) -> None:
        """Put one or two locks over some of the steps; now and then one is never given back."""
        for lock in self.rng.sample(_LOCKS, self.rng.choice((1, 1, 2))):
            begin = self.rng.randrange(len(steps))
            kind = self.rng.choice(_TRIES) if self._happens(_TRY_CHANCE) else Act.LOCK
            steps[begin] = ToyStep(kind=kind, variable=lock, faults=self._faults())
            if self._happens(_UNLOCK_CHANCE):
                end = self.rng.randint(begin + 1, len(steps))
                steps.insert(end, ToyStep(kind=Act.UNLOCK, variable=lock, faults=self._faults()))
