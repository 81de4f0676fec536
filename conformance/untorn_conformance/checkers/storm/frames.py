"""H1 and H2: whose bytes were read.

H1 no torn entry: a handle lists every frame of one publish in order, and gives nothing else.

    Rule 1: what is handed out lists as many files as every version has, in frame order.
    Rule 2: a read gives the frame that was asked for, and bytes that somebody wrote.
    Rule 3: all reads of one handle give one version.

H2 provenance: a version comes from a publish of this key that had been asked for.

    Rule 4: what a handle gives is of its key.
    Rule 5: it was there at the start, or somebody was asked to publish it before it was seen.
    Rule 6: who was told adopted or unpublished published nothing; work that only was staged is
            nobody's to see. Who was told published or unpublished reads his own.
    Rule 7: nothing is found, or adopted, before anything can have been published.

No strike excuses torn or foreign bytes. Not flagged: a version that was told unpublished while
calls failed (it may have become visible before one did); without leases, a writer whose handle
gives another's version, since its own may have been evicted and replaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from untorn_conformance.checkers.storm.judged import Judged
from untorn_conformance.checkers.storm.lives import Life, Lives
from untorn_conformance.checkers.storm.timeline import Timeline
from untorn_conformance.checkers.storm.violation import FOREVER, Violation
from untorn_conformance.history import Op, OpOutcome

_TORN: Final = ("P1", "R1")


def judge_torn(timeline: Timeline, judged: Judged) -> Iterator[Violation]:
    """H1: judge every handle, and every read whose bytes are not as they should be."""
    judged.count("H1", len(timeline.hits) + len(timeline.made) + timeline.bytes_read)
    frames = timeline.start.frames
    for given in (timeline.hits, timeline.made):
        for chunk in timeline.deadline.chunks(given):
            for op in chunk:
                if op.files not in (frames, -1) or not op.in_order:
                    yield _short(op, frames)
    for op in timeline.odd:
        yield _odd(timeline, op)


def _short(op: Op, frames: int) -> Violation:
    order = "" if op.in_order else ", not in frame order"
    message = f"{op.verb} of key {op.key} was answered {op.outcome}: {op.files} of {frames} files"
    return Violation(
        checker="H1",
        requirements=("P5",) if op.outcome is OpOutcome.UNPUBLISHED else _TORN,
        message=message + order,
        operations=(op.id,),
        at_ns=op.ended_ns,
    )


def _odd(timeline: Timeline, op: Op) -> Violation:
    rows: tuple[str, ...] = _TORN
    first = timeline.shown.get(op.via)
    if op.seen is None:
        given = "bytes that nobody wrote"
        if timeline.troubles.removes.overlap(-FOREVER, op.ended_ns):
            rows = (*_TORN, "T1")
    elif op.seen.index != op.index:
        given = f"frame {op.seen.index} of version {op.seen.version}"
    else:
        before = first.seen.version if first is not None and first.seen is not None else ""
        given = f"version {op.seen.version}, and version {before} before"
    ids = {op.via, first.id if first is not None else op.id, op.id} - {-1}
    return Violation(
        checker="H1",
        requirements=rows,
        message=f"frame {op.index} of key {timeline.ops[op.via].key} was read: {given}",
        operations=tuple(sorted(ids)),
        at_ns=op.ended_ns,
    )


# --- H2 ------------------------------------------------------------------------------------------


def judge_provenance(timeline: Timeline, lives: Lives, judged: Judged) -> Iterator[Violation]:
    """H2: judge where every version that was seen comes from."""
    judged.count("H2", len(lives.all))
    for life in lives.all:
        why = _thin_air(timeline, life)
        if why is not None:
            told = f"version {life.version} was seen in key {life.key}, {why[1]}"
            yield _finding(why[0], told, life.first_op, life.witnesses)
    for read in timeline.misplaced:
        given = read.seen.key if read.seen is not None else ""
        told = f"key {timeline.ops[read.via].key} gave a frame of key {given}"
        yield _finding(("K7", "P1"), told, read, (read.via, read.id))
    yield from _own(timeline, judged)
    yield from _before_anything(timeline, lives, judged)


def _thin_air(timeline: Timeline, life: Life) -> tuple[tuple[str, ...], str] | None:
    """The rows that this version breaks, and how; None if it may have been there."""
    asked = timeline.asked.get(life.version)
    if timeline.start.present.get(life.key) == life.version:
        return None
    if asked is None:
        return ("P1",), "and nobody was asked to publish it"
    if asked.key != life.key:
        return ("K7", "P1"), f"and it was published under key {asked.key}"
    if asked.began_ns > life.first:
        return ("P1",), "before anybody was asked to publish it"
    if asked.outcome is OpOutcome.ADOPTED:
        return ("P2",), "and its writer was told adopted"
    if asked.outcome is OpOutcome.UNPUBLISHED and timeline.is_untroubled(asked):
        return ("P2", "P5"), "and its writer was told unpublished"
    return None


def _own(timeline: Timeline, judged: Judged) -> Iterator[Violation]:
    """Rule 6 for what writers were handed."""
    versions, leases = timeline.versions.get, timeline.leases
    published, unpublished = OpOutcome.PUBLISHED, OpOutcome.UNPUBLISHED
    for op in timeline.made:
        outcome = op.outcome
        if outcome is not unpublished and not (leases and outcome is published):
            continue
        version = versions(op.id)
        if version is None:
            continue
        judged.count("H2")
        if version != op.version:
            row = "P5" if op.outcome is OpOutcome.UNPUBLISHED else "P3"
            told = f"{op.process} was told {op.outcome} and reads version {version}"
            yield _finding((row,), told, op, (op.id, timeline.shown[op.id].id))


def _before_anything(timeline: Timeline, lives: Lives, judged: Judged) -> Iterator[Violation]:
    """Rule 7, for handles that were not read: the others have a version."""
    unread = [op for op in lives.unread if op.key not in timeline.start.present]
    judged.count("H2", len(unread))
    soonest: dict[str, int] = {}
    for asked in timeline.asked.values() if unread else ():
        if asked.outcome is not OpOutcome.ADOPTED:
            soonest[asked.key] = min(soonest.get(asked.key, FOREVER), asked.began_ns)
    for op in unread:
        if op.ended_ns < soonest.get(op.key, FOREVER):
            told = f"key {op.key} was answered {op.outcome}, and nothing was published"
            yield _finding(("P1",), told, op, (op.id,))


def _finding(
    rows: tuple[str, ...], message: str, op: Op | None, operations: tuple[int, ...]
) -> Violation:
    return Violation(
        checker="H2",
        requirements=rows,
        message=message,
        operations=tuple(sorted(set(operations))),
        at_ns=op.ended_ns if op is not None else 0,
    )
