"""Hypothesis at the wheel: what one hunt for a failing example does with its time.

Rule 1: the first failure decides what is hunted: examples that show something else only are not
        taken for smaller ones of it.
Rule 2: an example that was tried is known; it is not tried again, and one that passed before does
        not count as drawn.
Rule 3: shrinking has a budget of seconds. When that is spent nothing is tried any more: known
        failures fail as before, all else is rejected, and so the smallest known one stays.
Rule 4: every setting is named here, so that none is Hypothesis' own (see ``profiles``).
Rule 5: a night is drawn in rounds, each with a seed of its own: Hypothesis keeps all that it drew
        in one, 0.7 MB for each of the longest examples.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar

from hypothesis import HealthCheck, Phase, Verbosity, reject, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from untorn_conformance.profiles import Wheel

E = TypeVar("E", bound=Hashable)
F = TypeVar("F")


ROUND: Final = 200
"""Examples of one round."""
_SEEDS: Final = 2**64
"""More than any seed that can be asked for, so that no round draws what another seed's does."""


class Round(NamedTuple):
    """What one round is drawn with."""

    settings: settings
    seed: int


class ShownError(AssertionError):
    """An example shows what is hunted."""


@dataclass(slots=True)
class Hunt(Generic[E, F]):
    """One hunt. ``smallest`` is the example that Hypothesis came to, with what it shows.

    ``made`` counts the examples that were tried, ``made_first`` those up to the first failure.
    """

    wheel: Wheel
    clock: Callable[[], float] = time.monotonic
    made: int = 0
    made_first: int = 0
    smallest: tuple[E, F] | None = None
    _known: dict[E, F | None] = field(default_factory=dict)
    _end_s: float | None = None

    @property
    def left_s(self) -> float:
        """How long what was found may be shrunk still."""
        whole_s = self.wheel.profile.shrink_s
        return whole_s if self._end_s is None else max(0.0, self._end_s - self.clock())

    def try_out(self, example: E, make: Callable[[], F | None]) -> None:
        """Make the example and take in what it shows, or say what is known of it.

        Raises ShownError where it shows what is hunted; rejects what it knows to pass.
        """
        if example not in self._known:
            if self._end_s is not None and not self.left_s:
                reject()
            self.made += 1
            self._known[example] = make()
        elif self._known[example] is None:
            reject()
        shown = self._known[example]
        if shown is not None:
            if self._end_s is None:
                self._end_s = self.clock() + self.wheel.profile.shrink_s
                self.made_first = self.made
            self.smallest = (example, shown)
            raise ShownError

    def rounds(self, examples: int, *, shrinks: bool = True) -> Iterator[Round]:
        """What to draw so many examples with; the first round is the one of the hunt's own seed.

        Each round's machine must be the same function: what it found before is kept by its source.
        """
        for number, first in enumerate(range(0, examples, ROUND)):
            count = min(ROUND, examples - first)
            yield Round(self.settings(count, shrinks=shrinks), self.wheel.seed + number * _SEEDS)

    def settings(self, examples: int, *, shrinks: bool = True) -> settings:
        """The settings of a round: without explaining, and with no setting left to a default.

        Not ``shrinks``: who hunts makes what was found smaller by other means.
        """
        folder = self.wheel.examples
        phases = (Phase.reuse, Phase.generate, Phase.shrink)
        return settings(
            max_examples=examples,
            stateful_step_count=1,
            derandomize=False,
            database=None if folder is None else DirectoryBasedExampleDatabase(folder),
            deadline=None,
            phases=phases if shrinks else phases[:-1],
            report_multiple_bugs=False,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
        )
