"""Take turns, so that whatever else the machine does hits every case alike.

Cases run A B C, A B C, ...: a ratio of two of them is then of the same minutes. The first round
warms up and is thrown away. Python's own collector is off meanwhile, as in ``timeit``.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Case = Callable[[], Sequence[float]]
"""One turn of a case: prepares, measures, tidies, and returns the measured times in seconds."""

_P99 = 0.99


@dataclass(frozen=True, slots=True)
class Samples:
    """Measured values of one case, in seconds unless the case says otherwise."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median value."""
        return statistics.median(self.values)

    @property
    def p99(self) -> float:
        """The smallest value that 99 % of the values do not exceed (nearest rank)."""
        ordered = sorted(self.values)
        return ordered[math.ceil(_P99 * len(ordered)) - 1]


def interleave(
    cases: Mapping[str, Case], rounds: int, *, warm_up: bool = True
) -> dict[str, Samples]:
    """Let the cases take turns for `rounds` rounds; their samples by name."""
    assert rounds > 0, "nothing is measured in no round"
    collected: dict[str, list[float]] = {name: [] for name in cases}
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for number in range(rounds + warm_up):
            for name, case in cases.items():
                values = case()
                if number or not warm_up:
                    collected[name].extend(values)
    finally:
        if was_enabled:
            gc.enable()
    return {name: Samples(tuple(values)) for name, values in collected.items()}


def repeated(action: Callable[[], object], calls: int) -> Case:
    """A case that measures each of `calls` calls."""

    def turn() -> list[float]:
        clock = time.perf_counter
        values = []
        for _ in range(calls):
            start = clock()
            action()
            values.append(clock() - start)
        return values

    return turn


def seconds(action: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
