"""H10: what waited so long that it hung, by the clock.

Rule 1: nothing takes longer than ``flight_wait_s`` and a slack that no work here takes: neither
        until it was answered, nor until its process was killed, who had not answered yet.
Rule 2: while its own process stood still it waited for nobody; while others did, it did (L1).

Not flagged: an extraction, which decodes as long as it takes; where no ``flight_wait_s`` is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from untorn_conformance.backend import Verb
from untorn_conformance.checkers.storm.timeline import Timeline
from untorn_conformance.checkers.storm.violation import Violation
from untorn_conformance.contract import Capability
from untorn_conformance.history import Op

SLACK_S: Final = 10.0
"""Far beyond what an operation takes that waits for nobody: 0.3 s on a machine at load 11."""

_NS: Final = 1_000_000_000


def judge_waits(timeline: Timeline) -> Iterator[Violation]:
    """H10: judge how long each operation took; time is evidence of a hang, of nothing else."""
    wait_s = timeline.start.limits.get("flight_wait_s")
    if wait_s is None:
        return
    most_ns = int((wait_s + SLACK_S) * _NS)
    flies = Capability.SINGLE_FLIGHT.value in timeline.start.capabilities
    for op in _long(timeline, most_ns):
        until_ns = op.ended_ns if op.is_answered else timeline.killed_at(op.process)
        took_ns = until_ns - op.began_ns
        took_ns -= timeline.troubles.stood_still_ns(op.process, op.began_ns, until_ns)
        if took_ns > most_ns:
            rows = ("L1", "P7") if flies else ("L1",)
            end = "was answered" if op.is_answered else "was killed"
            told = f"{op.verb} {op.key}".rstrip()
            yield Violation(
                checker="H10",
                requirements=rows,
                message=f"{told} of {op.process} hung for {took_ns / _NS:.1f} s until it {end}",
                operations=(op.id,),
                at_ns=until_ns,
            )


def _long(timeline: Timeline, most_ns: int) -> Iterator[Op]:
    for chunk in timeline.deadline.chunks(timeline.ops):
        for op in chunk:
            if op.ended_ns - op.began_ns > most_ns and op.verb != Verb.EXTRACT:
                yield op
    for op in timeline.unanswered:
        if timeline.killed_at(op.process) - op.began_ns > most_ns and op.verb != Verb.EXTRACT:
            yield op
