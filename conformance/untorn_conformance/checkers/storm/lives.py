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
from typing import Final

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


_OWN: Final = (OpOutcome.UNPUBLISHED, OpOutcome.UNCACHED)
_SEEN, _HELD, _YOUNG = Reach.SEEN, Reach.HELD, Reach.YOUNG


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

    ``unread`` are hits and adoptions of which no frame was read: nobody knows of which version.
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
        for some in (timeline.hits, timeline.made):
            for chunk in timeline.deadline.chunks(some):
                self._see(chunk)
        self.by_key: dict[str, list[Life]] = {}
        for few in timeline.deadline.chunks(self.all):
            for life in few:
                life.end = self.reach(life, _YOUNG)
                self.by_key.setdefault(life.key, []).append(life)
        for those in self.by_key.values():
            those.sort(key=_first)

    def reach(self, life: Life, by: Reach) -> int:
        """Until when it certainly was there, as far as is known by this and what is plainer.

        Not before ``first``: it may be less than that.
        """
        last = life.last
        if by is _SEEN:
            return last
        if by >= _HELD and life.held > last:
            last = max(last, min(life.held, self._harmed_from(life)))
        return max(last, self._removals.soonest(life.version, last, by_age=by is _YOUNG))

    def _harmed_from(self, life: Life) -> int:
        troubles = self._timeline.troubles
        if not troubles.removes.begins:
            return FOREVER
        return troubles.harmed_from(self._timeline.staged_at(life.version))

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

    def _see(self, gave: Sequence[Op]) -> None:
        """See what these were given, and until when they held it.

        Without leases a handle may find its files when they are read, and not before.
        """
        timeline, known = self._timeline, self._by_version.get
        leases, shown, released = timeline.leases, timeline.shown, timeline.held_until
        version_of, published = timeline.versions.get, OpOutcome.PUBLISHED
        for op in gave:
            if op.outcome is published:
                version, ended_ns = op.version, op.ended_ns
            elif op.outcome in _OWN:
                continue  # nobody else sees it
            else:
                found = version_of(op.id)
                if found is None:
                    self.unread.append(op)
                    continue
                version, ended_ns = found, op.ended_ns if leases else shown[op.id].ended_ns
            life = known(version)
            if life is None or life.key != op.key:
                life = self._life(op.key, version)
            life.see(op, ended_ns)
            if leases:
                until_ns = released(op)
                if until_ns > life.held:
                    life.held, life.held_op = until_ns, op


def _first(life: Life) -> int:
    return life.first
