"""How much each checker judged: what it would have blamed if it had been wrong.

Rule 1: what is excused before it is looked at does not count; what no rule applies to does not.
Rule 2: a count is a measure of evidence, not of rules: one thing counts once for a checker.
"""

from __future__ import annotations

from collections.abc import Mapping

from untorn_conformance.checkers.storm.collects import Weighing
from untorn_conformance.checkers.storm.lives import Lives
from untorn_conformance.checkers.storm.removals import Removals
from untorn_conformance.checkers.storm.timeline import Timeline
from untorn_conformance.checkers.storm.weighed import weighed
from untorn_conformance.history import OpOutcome


def amounts(timeline: Timeline, lives: Lives, removals: Removals) -> Mapping[str, int]:
    """By checker, how much of this round it had before it."""
    handles = len(timeline.hits) + len(timeline.made)
    moved_h7, moved_h11 = _collects(timeline, removals)
    together = sum(len(some) > 1 for some in lives.by_key.values())
    published = sum(op.outcome is OpOutcome.PUBLISHED for op in timeline.made)
    audit = timeline.round.audit
    troubled = timeline.troubles.any_until
    return {
        "H1": handles,
        "H2": len(lives.all),
        "H3": together,
        "H4": sum(op.id in timeline.shown for op in timeline.hits) + len(timeline.lost),
        "H5": sum(op.key in lives.by_key for op in timeline.misses),
        "H6": published,
        "H7": moved_h7,
        "H8": sum(not troubled(op.ended_ns) for op in timeline.counted) if timeline.counts else 0,
        "H9": 0 if audit is None or audit.debris is None else 1,
        "H10": len(timeline.ops),
        "H11": moved_h11,
    }


def _collects(timeline: Timeline, removals: Removals) -> tuple[int, int]:
    """How many collects H7 judged, and how many H11: those of which enough was known."""
    weighing, moved_from = Weighing(timeline, removals), removals.ages_moved_from
    alone = weighed(timeline)
    moved = {op.id for op in alone if op.numbers.get("shifted_s", 0)}
    plain = {op.id for op in alone} - moved
    for op in weighing.lone_collects():
        if weighing.is_within_budget(op) or weighing.is_alone(op):
            (moved if moved_from <= op.ended_ns else plain).add(op.id)
        elif weighing.only_entries(op):
            plain.add(op.id)
    plain |= {
        op.id for op in timeline.collects if weighing.min_age_s(op) > 0 and op.ended_ns < moved_from
    }
    return len(plain), len(moved)
