"""Which version certainly was in place, and when.

A version is published once and never changes, so it has one life: it is seen from one moment on,
and from another on no more. Every sighting has a moment of that life in its interval; hence

    first   by then it had appeared: the earliest end of a sighting
    last    by then it had not gone: the latest beginning of a sighting

and from ``first`` to ``last`` it certainly was there. A life reaches further by what else is known,
in order: until the next moment at which anything may have been removed (UNREMOVED), as long as a
lease held it (HELD), and while it was too young to be collected (YOUNG).

Two versions of a key are never there together: that is violated where each reaches beyond the
other's ``first``. A miss is violated where a life began before and reaches beyond it.

Source: Kingsbury and Alvaro, Elle (VLDB 2020): values that are written once make checking linear.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from untorn_conformance.checkers.storm.removals import Removals
from untorn_conformance.checkers.storm.timeline import Timeline
from untorn_conformance.checkers.storm.violation import FOREVER
from untorn_conformance.history import Op, OpOutcome


class Reach(IntEnum):
    """By what it is known that a version was still there, from the plainest on."""

    SEEN = 0
    UNREMOVED = 1
    HELD = 2
    YOUNG = 3


class Life:
    """One version in one place, with the operations that bound it (None: the round's start)."""

    __slots__ = ("end", "first", "first_op", "held", "held_op", "key", "last", "last_op", "version")

    def __init__(self, key: str, version: str) -> None:
        self.key = key
        self.version = version
        self.first = FOREVER
        self.last = -FOREVER
        self.held = -FOREVER
        self.end = -FOREVER
        self.first_op: Op | None = None
        self.last_op: Op | None = None
        self.held_op: Op | None = None

    def see(self, op: Op, ended_ns: int) -> None:
        """It was there at some moment from the operation's beginning to ``ended_ns``."""
        if ended_ns < self.first:
            self.first, self.first_op = ended_ns, op
        if op.began_ns > self.last:
            self.last, self.last_op = op.began_ns, op

    def hold(self, op: Op, until_ns: int) -> None:
        """A lease held it from the operation's answer on."""
        if until_ns > self.held:
            self.held, self.held_op = until_ns, op

    @property
    def was_held(self) -> bool:
        """Whether a lease held it at any time."""
        return self.held_op is not None

    @property
    def witnesses(self) -> tuple[int, ...]:
        """The operations that bound it."""
        known = (self.first_op, self.last_op, self.held_op)
        return tuple(sorted({each.id for each in known if each is not None}))


class Lives:
    """All lives of a round: by version, and by key in the order of ``first``.

    ``unread`` are hits of which no frame was read: nobody knows of which version.
    """

    def __init__(self, timeline: Timeline, removals: Removals) -> None:
        self._timeline = timeline
        self._removals = removals
        self.all: list[Life] = []
        self._by_version: dict[str, Life] = {}
        self._misplaced: dict[tuple[str, str], Life] = {}
        self.unread: list[Op] = []
        for key, version in timeline.start.present.items():
            self._life(key, version).first = -FOREVER
        for chunk in timeline.deadline.chunks(timeline.hits):
            self._see_hits(chunk)
        for chunk in timeline.deadline.chunks(timeline.made):
            self._see_made(chunk)
        self.by_key: dict[str, list[Life]] = {}
        for some in timeline.deadline.chunks(self.all):
            for life in some:
                life.end = self.reach(life, Reach.YOUNG)
                self.by_key.setdefault(life.key, []).append(life)
        for those in self.by_key.values():
            those.sort(key=_first)

    def reach(self, life: Life, by: Reach) -> int:
        """Until when it certainly was there, as far as is known by this and what is plainer.

        Not before ``first``: it may be less than that.
        """
        if by is Reach.SEEN:
            return life.last
        last, soonest = life.last, self._removals.soonest
        if by >= Reach.HELD and life.held > last:
            harmed = self._timeline.troubles.harmed_from(self._timeline.staged_at(life.version))
            last = max(last, min(life.held, harmed))
        return max(last, soonest(life.version, last, by_age=by >= Reach.YOUNG))

    def _life(self, key: str, version: str) -> Life:
        life = self._by_version.get(version)
        if life is None:
            life = self._by_version[version] = Life(key, version)
            self.all.append(life)
        elif life.key != key:  # of one version in two keys each place has a life of its own
            life = self._misplaced.get((key, version))
            if life is None:
                life = self._misplaced[key, version] = Life(key, version)
                self.all.append(life)
        return life

    def _see_hits(self, hits: Sequence[Op]) -> None:
        """Without leases a handle may find its files when they are read, and not before."""
        timeline = self._timeline
        leases, known = timeline.leases, self._by_version.get
        version_of, shown = timeline.versions.get, timeline.shown
        for op, until_ns in zip(hits, timeline.held_until(hits), strict=True):
            version = version_of(op.id)
            if version is None:
                self.unread.append(op)
                continue
            life = known(version)
            if life is None or life.key != op.key:
                life = self._life(op.key, version)
            # What `see` and `hold` say, without a call each: there is one of these a lookup.
            ended_ns = op.ended_ns if leases else shown[op.id].ended_ns
            if ended_ns < life.first:
                life.first, life.first_op = ended_ns, op
            if op.began_ns > life.last:
                life.last, life.last_op = op.began_ns, op
            if leases and until_ns > life.held:
                life.held, life.held_op = until_ns, op

    def _see_made(self, made: Sequence[Op]) -> None:
        timeline = self._timeline
        leases, shown = timeline.leases, timeline.shown.get
        published, adopted = OpOutcome.PUBLISHED, OpOutcome.ADOPTED
        for op, until_ns in zip(made, timeline.held_until(made), strict=True):
            if op.outcome is published:
                life, ended_ns = self._life(op.key, op.version), op.ended_ns
            elif op.outcome is adopted and (read := shown(op.id)) is not None:
                life = self._life(op.key, timeline.versions[op.id])
                ended_ns = op.ended_ns if leases else read.ended_ns
            else:
                continue
            life.see(op, ended_ns)
            if leases:
                life.hold(op, until_ns)


def _first(life: Life) -> int:
    return life.first
