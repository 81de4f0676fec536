"""Live objects: those over which the order of two actors' steps has been seen to matter.

Rule 1: an object is live once two actors touched it, one writing. A touch is a step that was taken
        as much as one that was only on offer.
Rule 2: an actor meddles once it was seen to wait for time, or to take an opaque step: what others
        do, whatever it is, then matters to it.
Rule 3: a step is idle when it is not opaque, touches no live object, and no other actor meddles.
        As far as was seen, it commutes with every step of every other actor.

What is known only ever grows: a step that is live now stays so.
"""

from __future__ import annotations

from collections.abc import Iterable

from untorn_stress.schedulers.protocol import NOTHING, Footprint, Option


class LiveObjects:
    """What the runs of one search have shown about who shares what with whom.

    ``touched_by_all`` is what anybody touched, or stood before.
    """

    __slots__ = ("_known", "_meddlers", "_private", "_read_by_many", "live", "touched_by_all")

    def __init__(self) -> None:
        self.live: set[str] = set()
        self.touched_by_all = NOTHING
        self._meddlers: set[str] = set()
        self._private: dict[str, tuple[str, bool]] = {}  # object: its only actor, ever written
        self._read_by_many: set[str] = set()
        self._known: set[tuple[str, Footprint]] = set()

    def offered(self, options: Iterable[Option]) -> bool:
        """Learn from what is on offer; True when anything idle became live by it."""
        grew = False
        for option in options:
            if option.yielded and option.actor not in self._meddlers:
                self._meddlers.add(option.actor)
                grew = True
            grew |= self.touched(option.actor, option.footprint)
        return grew

    def touched(self, actor: str, footprint: Footprint) -> bool:
        """Learn that an actor touches these; True when anything idle became live by it."""
        fact = (actor, footprint)
        if fact in self._known:
            return False
        self._known.add(fact)
        self.touched_by_all = self.touched_by_all.joined(footprint)
        grew = footprint.opaque and actor not in self._meddlers
        if grew:
            self._meddlers.add(actor)
        for name in footprint.reads:
            grew |= self._touch(actor, name, writes=False)
        for name in footprint.writes:
            grew |= self._touch(actor, name, writes=True)
        return grew

    def _touch(self, actor: str, name: str, *, writes: bool) -> bool:
        if name in self.live:
            return False
        owner, written = self._private.setdefault(name, (actor, writes))
        shared = owner != actor or name in self._read_by_many
        if not shared:
            self._private[name] = (owner, written or writes)
        elif written or writes:
            self.live.add(name)
            return True
        else:
            self._read_by_many.add(name)
        return False

    def idle(self, actor: str, footprints: Iterable[Footprint]) -> bool:
        """Tell whether each of these steps of the actor commutes with all steps of others."""
        if self._meddlers and self._meddlers != {actor}:
            return False
        return all(
            not footprint.opaque
            and self.live.isdisjoint(footprint.reads)
            and self.live.isdisjoint(footprint.writes)
            for footprint in footprints
        )
