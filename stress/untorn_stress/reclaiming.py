"""Reclaiming (C3): what one collect leaves of a tree when all are dead and all of it is old.

Rule 1: the tree is put back and made so old that the backend's grace for the dead is over, with a
        day to spare, by its times or by the backend's own clock: what is too young to go is none
        of this.
Rule 2: one fresh collector evicts all that it may. What counts is how many names are left. Before
        that it is asked how much is stored, dry, which changes nothing (G13).
Rule 3: no tree is clean by our lights: the measure is what the same collector leaves of the same
        backend's undisturbed publish, as old.

Not decided: a backend whose limits are not known; a collect that was skipped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from untorn_conformance.backend import BytesMeaning, Collected, Limits
from untorn_conformance.errors import BackendError

from untorn_stress.names import Names
from untorn_stress.programs import ager, collector, weigher
from untorn_stress.rules.history import Debris
from untorn_stress.run import Operation
from untorn_stress.scenario import Program
from untorn_stress.tree import Tree, capture

PlayIn = Callable[[Tree, Sequence[Program]], tuple[Operation, ...]]
"""Puts a tree back and has one fresh worker play programs in turn; how that went."""

_DAY_S = 86400.0
_NS = 1_000_000_000


class Reclaiming:
    """For one backend at one root.

    ``ages`` says that the backend keeps a clock of its own. ``published`` is the tree of an
    undisturbed publish.
    """

    def __init__(
        self,
        root: Path,
        limits: Limits,
        names: Names,
        *,
        ages: bool,
        published: Tree,
    ) -> None:
        self._root = root
        self._age_s = limits.reap_grace_s + _DAY_S
        self._names = names
        self._programs = (*([ager(self._age_s)] if ages else []), weigher(), collector())
        self._weighs = limits.bytes_meaning is BytesMeaning.ST_SIZE
        self._shift_s = 0.0 if ages else self._age_s
        self._published = published
        self._usual: Debris | None = None

    def reclaim(self, tree: Tree, play: PlayIn) -> Debris | None:
        """What a collect leaves of the tree; None where that cannot be decided."""
        if self._usual is None:
            self._usual = self._left_of(self._published, play)
        if self._usual is None or self._usual.failed:
            return None
        left = self._left_of(tree, play)
        return None if left is None else replace(left, usual=self._usual.left)

    def _left_of(self, tree: Tree, play: PlayIn) -> Debris | None:
        newest_ns = max(node.mtime_ns for node in tree.nodes.values())
        to_ns = time.time_ns() - int(self._shift_s * _NS)
        played = play(tree.shifted(to_ns - newest_ns), self._programs)
        collect = played[-1]  # or what it died of
        if not collect.is_answered:
            return Debris(failed="died")
        if isinstance(collect.answer, BackendError):
            return Debris(failed=f"ended in an error: {collect.answer}")
        if not isinstance(collect.answer, Collected):
            return None
        left = capture(self._root).nodes
        # Drawn parts are numbered path by path: then equal trees have equal lists.
        named = (self._names.fresh().canonical(path) for path in left if path)
        return Debris(left=tuple(sorted(named)), held_bytes=self._held(played[-2]))

    def _held(self, weighed: Operation) -> int | None:
        """What the collector held to be stored, where it says so in bytes that we can count."""
        told = weighed.answer
        return told.over_budget_bytes if self._weighs and isinstance(told, Collected) else None
