"""The audit: what a round left, seen by a fresh worker when all are dead and no fault is left.

Rule 1: first it looks: what each key holds, every byte of it. That is judged with the round.
Rule 2: then every key is published and read (liveness): what it holds then, the next round begins
        with.
        In some rounds a row of lone collects comes between: see ``row``.
Rule 3: then all grows older than any grace, and one collect sweeps, with a budget for everything.
Rule 4: no tree is clean by our lights: the measure is what the same audit leaves of the same
        backend where nothing befell it. A name with a drawn part or a number (a process id, a
        counter), of which there are more than there, is debris; a name that is fixed cannot pile
        up, and is none.
Rule 5: bytes are compared with the disk only in a way of weighing that was right there.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final

from untorn_conformance import probe
from untorn_conformance.backend import (
    Adopted,
    Collected,
    FrameRead,
    Hit,
    Published,
    Staged,
    Stats,
    Verb,
)
from untorn_conformance.contract import Capability
from untorn_conformance.errors import BackendError
from untorn_conformance.history import Audit

from untorn_stress.names import Names
from untorn_stress.storm import foreign
from untorn_stress.storm.arena import Arena
from untorn_stress.storm.nursery import children_of
from untorn_stress.storm.plan import Wanted
from untorn_stress.storm.roles import (
    Errand,
    Word,
    collect,
    full_key,
    next_version,
    publish,
    read_all,
    release,
    stage,
)
from untorn_stress.storm.row import FOLDERS, FRAMES, LoneCollects, Scales
from untorn_stress.storm.solo import Solo, await_true
from untorn_stress.storm.stamps import Provenance

_NUMBER: Final = re.compile(r"(?<![0-9{])[0-9]+(?![0-9}])")
_DAY_S: Final = 86_400.0
_ROOM_BYTES: Final = 1 << 40
_MOST_NAMED: Final = 20
_PASSES: Final = 8
_LEAVING_S: Final = 4.0

_ENTRY_BYTES: Final = "entry_bytes"
"""The counter by which a backend says what it holds itself to store."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Usual:
    """What an audit leaves where nothing befell the cache.

    ``names`` counts names in canonical form, ``weighing`` is how entries are to be weighed so that
    it comes to what the backend says ("" where no way does).
    """

    names: Counter[str]
    weighing: str = ""


@dataclass(slots=True)
class Audited:
    """What an audit found. ``leaks`` are certain: undisturbed, a lone worker left these behind."""

    present: dict[str, str] = field(default_factory=dict)
    unpublishable: dict[str, str] = field(default_factory=dict)
    debris: tuple[str, ...] = ()
    names: Counter[str] = field(default_factory=Counter)
    paths: frozenset[str] = frozenset()
    counted_bytes: int | None = None
    weights: dict[str, int] = field(default_factory=dict)
    leaks: list[str] = field(default_factory=list)
    harmed: tuple[str, ...] = ()
    at_ns: int = 0

    def audit(self, usual: Usual, *, had_room: bool = False) -> Audit:
        """The last line of the round's history; ``had_room`` as it says."""
        weighed = self.weights.get(usual.weighing)
        return Audit(
            at_ns=self.at_ns,
            debris=self.debris,
            counted_bytes=None if weighed is None else self.counted_bytes,
            disk_bytes=weighed,
            unpublishable=self.unpublishable,
            had_room=had_room,
            harmed=self.harmed,
        )


class Auditor:
    """Audits one arena's root; ``usual`` is None for the first time, which makes it.

    ``row`` are the dice of a row of lone collects, None for an audit without one. ``before`` are
    the names that the last audit saw.
    """

    def __init__(
        self,
        arena: Arena,
        wanted: Wanted,
        whose: Provenance,
        usual: Usual | None,
        row: Random | None = None,
        before: frozenset[str] = frozenset(),
    ) -> None:
        self._row = row
        self._before = before
        self._arena = arena
        self._wanted = wanted
        self._whose = whose
        self._usual = usual
        self._hello = arena.stormed.hello

    def audit(self, solo: Solo, open_errand: Errand) -> Audited:
        """Look, publish, look again, sweep, weigh; then let the worker go."""
        found = Audited()
        litter = _names_below(self._arena.tmp)
        solo.ask(open_errand)
        for label in self._wanted.labels:
            self._look(solo, label)
        self._publish_all(solo, found)
        self._descriptors(solo, found)
        self._collect_alone(solo, found)
        self._sweep(solo)
        if self._wanted.extractors:
            # Entries of clips are in nobody's list: all go, and what is usual comes back.
            solo.ask(collect(0, 0.0))
            self._publish_all(solo, found)
        found.counted_bytes = self._counted(solo)
        pid = solo.learn_pid()
        went = solo.leave()
        if solo.failure is None:
            if not went:
                found.leaks.append(f"process {pid} did not exit at the end of its input")
            self._left_behind(found, litter)
        self._weigh(found, has_swept=solo.failure is None)
        return found

    # --- asking

    def _collect_alone(self, solo: Solo, found: Audited) -> None:
        """Play a row of lone collects, and see what is there afterwards."""
        if self._row is None or self._usual is None or found.unpublishable:
            return

        def publish_all() -> dict[str, str]:
            self._publish_all(solo, found)
            return found.present

        scales = self._scales(self._usual.weighing)
        row = LoneCollects(
            solo, scales, publish_all, lambda label: self._look(solo, label), self._row
        )
        row.play(dict(found.present), empties=self._row.random() < 0.5)  # noqa: PLR2004
        for label in self._wanted.labels:
            if not self._look(solo, label):
                found.present.pop(label, None)

    def _scales(self, way: str) -> Scales:
        return Scales(self._arena, self._whose, self._wanted.frames, way)

    def _look(self, solo: Solo, label: str) -> set[str]:
        """Look a key up and read all of it; the versions that were seen, none for a miss."""
        word = solo.ask(Errand(verb=Verb.LOOKUP, args={"key": full_key(label)}, key=label))
        if not isinstance(word.value, Hit):
            return set()
        return self._read(solo, word, label)

    def _read(self, solo: Solo, word: Word, label: str) -> set[str]:
        versions = set()
        for errand in _errands(read_all(word, label, solo.part.dice)):
            answer = solo.ask(errand).value
            seen = self._whose.whose(answer.sha256) if isinstance(answer, FrameRead) else None
            right = seen is not None and (seen.key, seen.index) == (label, errand.index)
            versions.add(seen.version if seen is not None and right else "")
        if len(word.value.files) != self._wanted.frames:
            versions.add("")
        solo.ask(release(word, label))
        return versions

    def _publish_all(self, solo: Solo, found: Audited) -> None:
        for label in self._wanted.labels:
            if solo.failure is not None:
                return  # its end is on record: of further keys nothing is known
            why = self._publish(solo, label)
            versions = self._look(solo, label)
            if not why and len(versions) == 1 and "" not in versions:
                (found.present[label],) = versions
            else:
                read = "and a lookup then misses" if not versions else "and reads are not one entry"
                found.unpublishable[label] = why or f"it says it is published, {read}"

    def _publish(self, solo: Solo, label: str) -> str:
        """Publish a key; why it could not be, empty where it could."""
        version = next_version(solo.part, label)
        staged = solo.ask(stage(solo.part, version))
        if not isinstance(staged.value, Staged):
            return f"stage: {_told(staged.value)}"
        answer = solo.ask(publish(staged, version))
        if isinstance(answer.value, BackendError):
            return f"publish: {_told(answer.value)}"
        self._read(solo, answer, label)
        is_in = isinstance(answer.value, Published | Adopted)
        return "" if is_in else f"publish: {_told(answer.value)}"

    def _descriptors(self, solo: Solo, found: Audited) -> None:
        """All is warm by now: to publish and look up again must not cost descriptors (E3)."""
        before = _open_descriptors(solo.learn_pid())
        labels = self._wanted.labels[:_PASSES]
        for label in labels:
            self._publish(solo, label)
            self._look(solo, label)
        after = _open_descriptors(solo.pid)
        if after - before >= len(labels):
            found.leaks.append(
                f"{after - before} descriptors more after {len(labels)} publishes and "
                f"lookups, all of whose handles were given up ({before}, then {after})"
            )

    def _sweep(self, solo: Solo) -> None:
        seconds = self._hello.limits.reap_grace_s + _DAY_S
        if Capability.VIRTUAL_CLOCK in self._hello.capabilities:
            solo.ask(Errand(verb=Verb.AGE, args={"seconds": seconds}))
        else:
            probe.shift_mtimes(self._arena.seen_root, seconds)
        solo.ask(collect(_ROOM_BYTES, 0.0))

    def _counted(self, solo: Solo) -> int | None:
        """What the backend holds itself to store: by its counter, or by what it would free."""
        if Capability.STATS in self._hello.capabilities:
            stats = solo.ask(Errand(verb=Verb.STATS, args={})).value
            if isinstance(stats, Stats) and _ENTRY_BYTES in stats.counters:
                return stats.counters[_ENTRY_BYTES]
        would = solo.ask(collect(0, 0.0, dry_run=True)).value
        return would.freed_bytes if isinstance(would, Collected) else None

    # --- looking

    def _left_behind(self, found: Audited, litter: set[str]) -> None:
        """Nobody is asked any more, and who was left by itself: nothing of it may remain (E3)."""
        if not await_true(lambda: not children_of(self._arena.pid), _LEAVING_S):
            left = self._arena.below()
            if left:
                found.leaks.append(f"processes that outlive the worker that started them: {left}")
        more = _names_below(self._arena.tmp) - litter
        if more:
            named = ", ".join(sorted(more)[:_MOST_NAMED])
            found.leaks.append(f"temporary files that a worker left at its exit: {named}")

    def _weigh(self, found: Audited, *, has_swept: bool) -> None:
        found.harmed = tuple(self._arena.foreign.harmed())
        tree = _ours(probe.take(self._arena.seen_root))
        names = Names(self._wanted.names)
        by_form: dict[str, list[str]] = {}
        for path in tree.entries:
            form = _form(names.fresh().canonical(path), frozenset(self._wanted.names))
            by_form.setdefault(form, []).append(path)
        found.names = Counter({form: len(paths) for form, paths in by_form.items()})
        if self._usual is not None and has_swept:
            found.debris = tuple(_debris(by_form, self._usual.names, self._before))
        found.paths = frozenset(tree.entries)
        found.weights = self._weights(tree) if has_swept else {}
        found.at_ns = time.monotonic_ns()

    def _weights(self, tree: probe.Snapshot) -> dict[str, int]:
        """What is there, weighed in several ways: a backend counts in one of them, or in none."""
        files = tree.files()
        frames = {path for path, node in files.items() if self._whose.whose(node.sha256)}
        folders = {os.path.dirname(path) for path in frames} - {""}
        chosen = {
            FRAMES: frames,
            FOLDERS: {path for path in files if os.path.dirname(path) in folders},
            "all files": set(files),
        }
        scales = self._scales("")
        return {way: sum(map(scales.weight, paths)) for way, paths in chosen.items()}


def usual_of(first: Audited, second: Audited) -> Usual:
    """What is usual, of two audits where nothing befell the cache: names, and how to weigh."""
    names = first.names | second.names
    ways = [
        way
        for way in second.weights
        if all(each.weights[way] == each.counted_bytes for each in (first, second))
    ]
    return Usual(names=names, weighing=ways[0] if ways else "")


def _debris(
    by_form: Mapping[str, list[str]], usual: Counter[str], before: frozenset[str]
) -> Iterator[str]:
    """Names beyond the usual number of their form, where the form has a drawn part.

    Which of them it is that are too many nobody can tell: those that are new are named first.
    """
    for form, paths in sorted(by_form.items()):
        is_drawn = "{" in form.replace("{{", "")
        if is_drawn and len(paths) > usual[form]:
            named = sorted(paths, key=lambda path: (path in before, path))
            yield from named[: len(paths) - usual[form]][:_MOST_NAMED]


def _form(canonical: str, fixed: frozenset[str]) -> str:
    """A canonical path whose numbers count as drawn, too, except in names that we have given."""
    return "/".join(
        part if part in fixed else _NUMBER.sub("{n}", part) for part in canonical.split("/")
    )


def _ours(tree: probe.Snapshot) -> probe.Snapshot:
    """What is there without what we have planted."""
    own = {
        path: node
        for path, node in tree.entries.items()
        if path.partition("/")[0] not in foreign.NAMES
    }
    return replace(tree, entries=own)


def _errands(role: Iterable[Any]) -> Iterator[Errand]:
    return (each for each in role if isinstance(each, Errand))


def _told(value: object) -> str:
    return str(value)[:300]


def _names_below(folder: os.PathLike[str]) -> set[str]:
    return {
        os.path.relpath(os.path.join(path, name), folder)
        for path, directories, files in os.walk(folder)
        for name in (*directories, *files)
    }


def _open_descriptors(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError):
        return 0
