"""What a storm counts over all of its rounds, and who looks on while it counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from untorn_conformance.history import Strike

from untorn_stress.storm.arena import Arena
from untorn_stress.storm.crew import StormWorker


@dataclass(slots=True)
class Tally:
    """Counts by name.

    ``operations`` by verb and outcome, ``tried`` and ``bit`` by nemesis; ``inapplicable`` says why
    a nemesis cannot strike, ``errors`` keeps the first message of each kind; ``incarnations`` are
    how many processes each slot has had, ``killed_by_others`` whom a SIGKILL met that was not ours.
    """

    operations: Counter[tuple[str, str]] = field(default_factory=Counter)
    tried: Counter[str] = field(default_factory=Counter)
    bit: Counter[str] = field(default_factory=Counter)
    inapplicable: dict[str, str] = field(default_factory=dict)
    incarnations: Counter[int] = field(default_factory=Counter)
    errors: dict[str, str] = field(default_factory=dict)
    killed_by_others: list[str] = field(default_factory=list)


class Watch:
    """Who looks on: each answer, and each worker that holds nothing. Does nothing by itself."""

    def answered(self, verb: str, outcome: str, began_ns: int, ended_ns: int, evicted: int) -> None:
        """An operation was answered."""

    def holds_nothing(self, worker: StormWorker) -> None:
        """A worker is between two turns."""

    def struck(self, strike: Strike) -> None:
        """A strike is over."""

    def tick(self, arena: Arena, workers: Sequence[StormWorker]) -> None:
        """A moment has passed."""
