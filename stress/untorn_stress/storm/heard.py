"""What a round's workers have answered so far: counted, told to who watches, and kept for nemeses.

By it a nemesis proves that it bit: somebody was refused something, or entries went, since then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from untorn_conformance.backend import Collected
from untorn_conformance.errors import BackendError
from untorn_conformance.history import Op, OpOutcome

from untorn_stress.storm.crew import StormWorker
from untorn_stress.storm.nemesis.protocol import Refused
from untorn_stress.storm.recorder import outcome_of
from untorn_stress.storm.tally import Tally, Watch

_TELLING: Final = frozenset({OpOutcome.ERROR, OpOutcome.UNPUBLISHED, OpOutcome.UNCACHED})
_UNREADABLE: Final = "unreadable"


class Heard:
    """The answers of one round."""

    def __init__(self, tally: Tally, watch: Watch) -> None:
        self._tally = tally
        self._watch = watch
        self._answers: Counter[int] = Counter()
        self._refused: list[Refused] = []
        self._evictions: list[tuple[int, int]] = []

    def take(self, worker: StormWorker, verb: str, value: object, op: Op) -> None:
        """A worker answered, or its silence was taken for an answer."""
        self._answers[worker.slot] += 1
        outcome = outcome_of(value)
        self._tally.operations[verb, outcome.value] += 1
        evicted = 0
        if isinstance(value, Collected) and not op.numbers.get("dry_run"):
            evicted = value.evicted
        if evicted:
            self._evictions.append((op.ended_ns, evicted))
        if outcome in _TELLING or op.reason == _UNREADABLE:
            self._refuse(worker, verb, value, op)
        self._watch.answered(verb, outcome.value, op.began_ns, op.ended_ns, evicted)

    def _refuse(self, worker: StormWorker, verb: str, value: object, op: Op) -> None:
        message = value.message if isinstance(value, BackendError) else str(value)
        self._refused.append(
            Refused(
                at_ns=op.ended_ns,
                process=worker.name,
                verb=verb,
                reason=op.reason,
                message=message,
            )
        )
        if outcome_of(value) is OpOutcome.ERROR:
            self._tally.errors.setdefault(f"{verb}: {op.reason}", message)

    def refused_since(self, at_ns: int) -> Sequence[Refused]:
        """The refusals since an instant."""
        return [each for each in self._refused if each.at_ns >= at_ns]

    def evicted_since(self, at_ns: int) -> int:
        """How many entries collects have evicted since an instant."""
        return sum(count for ended_ns, count in self._evictions if ended_ns >= at_ns)

    def answers_of(self, slot: int) -> int:
        """How many answers the workers of a slot have given."""
        return self._answers[slot]
