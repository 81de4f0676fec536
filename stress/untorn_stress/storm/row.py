"""A row of collects alone, the entries weighed before and after each: what a collect says, it did.

    dry run, budget 0           nothing goes
    budget of more than stands  nothing goes
    budget of half              what is too much goes, and no more
    budget 0                    all goes
    then all is published again, and with an age of a minute
    budget 0                    nothing goes: all is young; nor with every mtime a day younger
    every mtime put back; then all is made older than uses are told apart, a half is used, and
    budget of half              what was not used goes first: every key is looked up afterwards
    in every other row all goes in the end, in the others all is published again

Rule 1: nobody else lives, and nothing is held: what is gone afterwards was evicted by that collect.
Rule 2: an entry is a version that was read before the row and all of whose frames are on disk; it
        stayed if they still are, under the same names.
Rule 3: bytes are told only where a way of weighing is known that was right in an undisturbed audit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

from untorn_conformance import probe
from untorn_conformance.backend import BytesMeaning, Verb
from untorn_conformance.contract import Capability

from untorn_stress.storm.arena import Arena
from untorn_stress.storm.roles import Errand, collect
from untorn_stress.storm.solo import Solo
from untorn_stress.storm.stamps import Provenance

_DAY_S: Final = 86_400.0
_YOUNG_S: Final = 60.0
_BLOCK_BYTES: Final = 512
FRAMES: Final = "frames"
FOLDERS: Final = "entry folders"


@dataclass(frozen=True, slots=True)
class Scales:
    """Weighs entries. ``way`` is how, of those that ``audit`` knows; another says no bytes."""

    arena: Arena
    whose: Provenance
    frames: int
    way: str

    def standing(self, present: Mapping[str, str]) -> dict[str, frozenset[str]]:
        """The files of each entry, by its key: of those all of whose frames are there."""
        files = probe.take(self.arena.seen_root).files()
        found: dict[str, dict[int, set[str]]] = {}
        for path, node in files.items():
            seen = self.whose.whose(node.sha256)
            if seen is not None and present.get(seen.key) == seen.version:
                found.setdefault(seen.key, {}).setdefault(seen.index, set()).add(path)
        entries = {}
        for key, by_index in found.items():
            if len(by_index) == self.frames:
                paths = frozenset().union(*by_index.values())
                folders = {os.path.dirname(path) for path in paths} - {""}
                beside = {path for path in files if os.path.dirname(path) in folders}
                entries[key] = paths | beside if self.way == FOLDERS else paths
        return entries

    def weigh(self, entries: Mapping[str, frozenset[str]]) -> int | None:
        """The bytes of these entries; None where no right way of weighing is known."""
        if self.way not in (FRAMES, FOLDERS):
            return None
        return sum(self.weight(path) for path in frozenset().union(*entries.values()))

    def weight(self, path: str) -> int:
        """The bytes of a file, in the meaning of the backend's limits."""
        status = os.lstat(self.arena.seen_root / path)
        meaning = self.arena.stormed.hello.limits.bytes_meaning
        is_size = meaning is BytesMeaning.ST_SIZE
        return status.st_size if is_size else status.st_blocks * _BLOCK_BYTES


@dataclass(slots=True)
class LoneCollects:
    """One row. ``publish_all`` publishes every key and returns what each holds then.

    ``look`` looks a key up and gives it up again; ``dice`` draw which keys are used.
    """

    solo: Solo
    scales: Scales
    publish_all: Callable[[], Mapping[str, str]]
    look: Callable[[str], object]
    dice: Random
    shifted_s: float = 0.0

    def play(self, present: Mapping[str, str], *, empties: bool) -> None:
        """Collect so often, and leave all published, or nothing."""
        stood = self.scales.standing(present)
        weight = self.scales.weigh(stood) or 0
        self._collect(present, 0, 0.0, dry_run=True)
        self._collect(present, 4 * weight + (1 << 24), 0.0)
        self._collect(present, weight // 2, 0.0)
        self._collect(present, 0, 0.0)
        present = self.publish_all()
        self._collect(present, 0, _YOUNG_S)
        self._shift(-_DAY_S)
        self._collect(present, 0, _YOUNG_S)
        self._shift(_DAY_S)
        self._take_the_unused(present)
        if empties:
            self._collect(present, 0, 0.0)
        else:
            self.publish_all()

    def _take_the_unused(self, present: Mapping[str, str]) -> None:
        """The dry run tells by how much all was made older before the uses that come after it."""
        labels = sorted(present)
        weight = self.scales.weigh(self.scales.standing(present)) or 0
        self._age(2 * max(1.0, self.scales.arena.stormed.hello.limits.recency_resolution_s))
        self._collect(present, 0, 0.0, dry_run=True)
        for label in self.dice.sample(labels, len(labels) // 2):
            self.look(label)
        self._collect(present, weight // 2, 0.0)
        for label in labels:
            self.look(label)

    def _age(self, seconds: float) -> None:
        """Make everything older, as the backend does it where it has a clock of its own."""
        if Capability.VIRTUAL_CLOCK not in self.scales.arena.stormed.hello.capabilities:
            self._shift(seconds)
        elif self.solo.failure is None:
            self.solo.ask(Errand(verb=Verb.AGE, args={"seconds": seconds}))
            self.shifted_s += seconds

    def _shift(self, seconds: float) -> None:
        probe.shift_mtimes(self.scales.arena.seen_root, seconds)
        self.shifted_s += seconds

    def _collect(
        self, present: Mapping[str, str], budget: int, min_age_s: float, *, dry_run: bool = False
    ) -> None:
        if self.solo.failure is not None:
            return
        stood = self.scales.standing(present)

        def after() -> dict[str, float]:
            now = self.scales.standing(present)
            stayed = {key: now[key] for key in stood if stood[key] <= now.get(key, frozenset())}
            return _numbers("stayed", len(stayed), self.scales.weigh(stayed))

        before = _numbers("stood", len(stood), self.scales.weigh(stood))
        if self.shifted_s:
            before["shifted_s"] = self.shifted_s
        errand = collect(budget, min_age_s, dry_run=dry_run)
        self.solo.ask(errand, before=before, after=after)


def _numbers(word: str, count: int, weight: int | None) -> dict[str, float]:
    return {word: count, **({} if weight is None else {f"{word}_bytes": weight})}
