"""H9: what is left when all are dead and swept after, by the round's audit.

Rule 1: no name below the root belongs to nothing.
Rule 2: what the backend holds itself to occupy is what its entries weigh on disk.
Rule 3: what is not the cache's, in the root or beside it, is as it was.

Not flagged: bytes that do not match where a strike took files away: a thinned entry keeps its
counted size until it is touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from untorn_conformance.checkers.storm.judged import Judged
from untorn_conformance.checkers.storm.timeline import Timeline
from untorn_conformance.checkers.storm.violation import FOREVER, Violation

_NAMED = 5


def judge_leftovers(timeline: Timeline, judged: Judged) -> Iterator[Violation]:
    """H9: judge the audit; a round without one is not judged here."""
    audit = timeline.round.audit
    if audit is None:
        return
    judged.count("H9", int(audit.debris is not None))
    if audit.debris:
        yield Violation(
            checker="H9",
            requirements=("C3", "G4"),
            message=f"debris is left after all were dead and a sweep: {_told(audit.debris)}",
            at_ns=audit.at_ns,
        )
    if audit.harmed:
        yield Violation(
            checker="H9",
            requirements=("G5",),
            message=f"what is not the cache's is gone or changed: {_told(audit.harmed)}",
            at_ns=audit.at_ns,
        )
    thinned = timeline.troubles.removes.overlap(-FOREVER, FOREVER)
    counted, disk = audit.counted_bytes, audit.disk_bytes
    if counted is not None and disk is not None and counted != disk and not thinned:
        yield Violation(
            checker="H9",
            requirements=("E3", "G7"),
            message=f"{counted} bytes are counted, and the entries weigh {disk}",
            at_ns=audit.at_ns,
        )


def _told(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
