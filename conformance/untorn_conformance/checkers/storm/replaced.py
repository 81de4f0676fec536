"""H3, H5 and H6, and what breaks a lease (H4) or an age (H7): lives that contradict each other.

What contradicts is one thing, by what it is known is another, and that names the checker:

    both were seen, one of them before and after the other       H3  no resurrection
    nothing may have removed the one that was there before       H6  the winner stays
    a lease held it                                              H4  stable read
    it was too young for whoever collected                       H7  min_age

A miss of what certainly was there is H5; where it was ``absent`` and something may have removed it
before, what came back is H3.

Not flagged: ``busy`` beside anybody's work on the key or a collect; a miss while calls failed or
files went; a miss of what a strike may have harmed, unless it is ``absent`` and seen again after.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Final

from untorn_conformance.backend import MissReason
from untorn_conformance.checkers.storm.activity import Activity
from untorn_conformance.checkers.storm.judged import Judged
from untorn_conformance.checkers.storm.lives import Life, Lives, Reach
from untorn_conformance.checkers.storm.removals import Removals
from untorn_conformance.checkers.storm.timeline import Timeline
from untorn_conformance.checkers.storm.violation import Violation
from untorn_conformance.history import Op

_TOGETHER: Final[Mapping[Reach, tuple[str, tuple[str, ...], str]]] = {
    Reach.SEEN: ("H3", ("P2", "P3"), "was there again after another had been there"),
    Reach.UNREMOVED: ("H6", ("P2", "P3"), "was replaced, and nothing may have removed it"),
    Reach.HELD: ("H4", ("R4",), "was replaced while a lease held it"),
    Reach.YOUNG: ("H7", ("G3",), "was replaced, and was too young for every collect since"),
}
_MISSED: Final[Mapping[Reach, tuple[str, tuple[str, ...], str]]] = {
    Reach.SEEN: ("H5", ("R2",), "seen before and after it"),
    Reach.UNREMOVED: ("H5", ("R2",), "there before, and nothing may have removed it"),
    Reach.HELD: ("H4", ("R4",), "held by a lease"),
    Reach.YOUNG: ("H7", ("G3",), "there before, and too young for every collect since"),
}
_ABSENT: Final = MissReason.ABSENT.value
_BUSY: Final = MissReason.BUSY.value
_RESURRECTED: Final = ("H3", ("R2", "G7"), "seen before and after it")


def judge_replaced(timeline: Timeline, lives: Lives, judged: Judged) -> Iterator[Violation]:
    """Judge every two versions of a key that were there together."""
    for some in lives.by_key.values():
        timeline.deadline.check()
        for checker in ("H3", "H6"):
            judged.count(checker, len(some) - 1)
        judged.count("H4", sum(life.was_held for life in some[:-1]))
        there: list[Life] = []  # what reaches beyond the first of who comes next: at most one
        for life in some:
            there = [each for each in there if each.end > life.first]
            for each in there:
                if life.end > each.first:
                    yield _together(lives, each, life)
            there.append(life)


def _together(lives: Lives, one: Life, other: Life) -> Violation:
    for by in Reach:
        beyond = lives.reach(one, by) > other.first and lives.reach(other, by) > one.first
        if beyond:
            break
    checker, rows, why = _TOGETHER[by]
    message = f"key {one.key}: version {one.version} {why}: {other.version}"
    witnesses = (*one.witnesses, *other.witnesses)
    at_ns = other.first_op.ended_ns if other.first_op else 0
    return Violation(
        checker=checker,
        requirements=rows,
        message=message,
        operations=tuple(sorted(set(witnesses))),
        at_ns=at_ns,
    )


def judge_missed(
    timeline: Timeline, lives: Lives, removals: Removals, judged: Judged
) -> Iterator[Violation]:
    """Judge every miss of what certainly was there."""
    firsts: dict[str, list[int]] = {}
    cores: dict[str, list[Life]] = {}
    for key, some in lives.by_key.items():
        cores[key] = [each for each in some if each.first < each.end]
        firsts[key] = [each.first for each in cores[key]]
    work, struck = Activity(timeline), bool(timeline.troubles)
    for chunk in timeline.deadline.chunks(timeline.misses):
        for op in chunk:
            place = bisect_left(firsts.get(op.key, ()), op.began_ns) - 1
            if place < 0:
                continue
            life = cores[op.key][place]
            busy = op.reason == _BUSY and work.is_beside(op)
            if busy or (struck and _is_excused(timeline, life, op)):
                continue
            _count(judged, life, op)
            if life.end > op.ended_ns:
                yield _missed(lives, removals, life, op)


def _count(judged: Judged, life: Life, op: Op) -> None:
    judged.count("H5")
    if op.reason == _ABSENT:
        judged.count("H3")
    if life.was_held:
        judged.count("H4")


def _is_excused(timeline: Timeline, life: Life, op: Op) -> bool:
    troubles = timeline.troubles
    if troubles.afflict(op.began_ns, op.ended_ns):
        return True
    if op.reason == _ABSENT:
        return False
    return troubles.harmed_from(timeline.staged_at(life.version)) <= op.ended_ns


def _missed(lives: Lives, removals: Removals, life: Life, op: Op) -> Violation:
    by = next(each for each in Reach if lives.reach(life, each) > op.ended_ns)
    checker, rows, why = _MISSED[by]
    if by is Reach.SEEN and op.reason == _ABSENT:
        gone = removals.soonest(life.version, life.first, by_age=False)
        checker, rows, why = _RESURRECTED if gone <= op.ended_ns else _MISSED[by]
    return Violation(
        checker=checker,
        requirements=rows,
        message=f"key {op.key} was missed ({op.reason}), and version {life.version} was {why}",
        operations=tuple(sorted({*life.witnesses, op.id})),
        at_ns=op.ended_ns,
    )
