"""What the workers of a storm do: readers, writers, collectors and extractors, as generators.

A role yields what it asks (``Errand``) or for how long it does nothing (``Rest``), and is sent the
answer (``Word``). What comes next is drawn from the dice of (seed, round, slot, incarnation), so it
depends on nobody else; what comes of it is the race.

Rule 1: whatever a role holds it gives up again: that it holds nothing comes about time and again.
Rule 2: a role never asks twice of what was refused: errors end the turn, and the next is drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, TypeAlias

from untorn_conformance.backend import (
    Adopted,
    Extracted,
    Hit,
    Published,
    Staged,
    Unpublished,
    Verb,
)
from untorn_conformance.errors import BackendError

from untorn_stress.storm.stamps import Version

_KIB: Final = 1024
FRAME_SIZES: Final = (*(4 * _KIB,) * 7, 64 * _KIB)
"""What a frame's size is drawn from: one in eight is as large as many a real one."""


_RACES: Final = 0.3
_TRIES: Final = 4
_GATHERS_S: Final = 0.3


@dataclass(frozen=True, kw_only=True, slots=True)
class Errand:
    """One request, and what its history is to say of it."""

    verb: Verb
    args: Mapping[str, object]
    key: str = ""
    via: int = -1
    version: str = ""
    index: int = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Rest:
    """Do nothing for ``seconds``. ``empty`` says that nothing is held meanwhile."""

    seconds: float
    empty: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Gather:
    """Wait until ``size`` workers do so, or for ``seconds``; then all go on together."""

    size: int
    seconds: float


@dataclass(slots=True)
class Race:
    """The key that the writers of a round gather for just now; empty if for none."""

    label: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """An answer: a dataclass of ``backend``, None, or the BackendError; ``op`` is its number."""

    op: int
    value: Any


Role: TypeAlias = Generator[Errand | Rest | Gather, Word | None, None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """The keys of a storm and how their files are made.

    ``write`` writes the frames of a version for a process and returns stage's ``files``.
    """

    labels: tuple[str, ...]
    names: tuple[str, ...]
    hot: int
    write: Callable[[str, Version], list[dict[str, str]]]

    def draw(self, dice: Random) -> str:
        """A label: half the time one of the few hot ones, where workers meet."""
        return dice.choice(self.labels[: self.hot] if dice.random() < 0.5 else self.labels)  # noqa: PLR2004


def full_key(label: str) -> str:
    """The full key of a label: 64 hexadecimal digits, the same in every storm."""
    return hashlib.sha256(f"untorn storm key {label}".encode()).hexdigest()


@dataclass(slots=True)
class Part:
    """One worker's part: who it is, and what it is drawn from.

    ``burst`` is how many collects in a row a nemesis has ordered of a collector, ``hold_s`` for how
    long one has ordered a writer to hold what it stages next. ``room_bytes`` is more than all
    entries can weigh together. ``clips`` are what an extractor asks, by label.
    """

    process: str
    dice: Random
    store: Store
    has_stats: bool = False
    total_bytes: int = 0
    room_bytes: int = 0
    race: Race = field(default_factory=Race)
    burst: int = 0
    hold_s: float = 0.0
    clips: Mapping[str, Errand] = field(default_factory=dict)
    attempts: int = 0


def reader(part: Part) -> Role:
    """Look up, hold for a while, read every frame, give it up."""
    while True:
        yield from _sometimes_count(part)
        label = part.store.draw(part.dice)
        found = yield Errand(verb=Verb.LOOKUP, args={"key": full_key(label)}, key=label)
        assert found is not None
        if not isinstance(found.value, Hit):
            yield Rest(seconds=part.dice.random() * 0.002, empty=True)
            continue
        held_s = part.dice.choice((0.0, 0.0, 0.0, 0.002, 0.02, 0.2))
        if held_s:
            yield Rest(seconds=held_s)
        yield from read_all(found, label, part.dice)
        yield release(found, label)


def writer(part: Part) -> Role:
    """Stage a new version, publish it (or think better of it), read what came of it, give it up."""
    while True:
        yield from _sometimes_count(part)
        races = part.dice.random() < _RACES
        label = (yield from _raced(part)) if races else part.store.draw(part.dice)
        version = next_version(part, label)
        staged = yield stage(part, version)
        assert staged is not None
        if not isinstance(staged.value, Staged):
            yield Rest(seconds=0.005, empty=True)
            continue
        if races:
            yield Gather(size=part.dice.randint(2, 4), seconds=_GATHERS_S)
        else:
            yield from _hold(part)
        if part.dice.random() < 0.05:  # noqa: PLR2004
            handle = {"handle": staged.value.handle}
            yield Errand(verb=Verb.ABANDON, args=handle, key=label, via=staged.op)
            continue
        answer = yield publish(staged, version)
        assert answer is not None
        if isinstance(answer.value, Published | Adopted | Unpublished):
            yield from read_all(answer, label, part.dice)
            yield release(answer, label)
        yield Rest(seconds=part.dice.random() * 0.01, empty=True)


def _raced(part: Part) -> Generator[Errand | Rest | Gather, Word | None, str]:
    """The key that others gather for; where nobody does, one that was just seen to be absent."""
    for _ in range(_TRIES):
        if part.race.label:
            break
        label = part.store.draw(part.dice)
        found = yield Errand(verb=Verb.LOOKUP, args={"key": full_key(label)}, key=label)
        assert found is not None
        if isinstance(found.value, Hit):
            yield release(found, label)
        elif not part.race.label:
            part.race.label = label
    return part.race.label or part.store.draw(part.dice)


def _hold(part: Part) -> Role:
    """Hold staged work for a while: seldom, or where a nemesis ordered it, for long."""
    ordered_s, part.hold_s = part.hold_s, 0.0
    drawn = part.dice.random()
    if ordered_s:
        yield Rest(seconds=ordered_s)
    elif drawn < 0.03:  # noqa: PLR2004
        yield Rest(seconds=1.0 + 2.0 * part.dice.random())
    elif drawn < 0.13:  # noqa: PLR2004
        yield Rest(seconds=part.dice.random() * 0.05)


def collector(part: Part) -> Role:
    """Collect, with a drawn budget and age; in a burst without pause, down to nothing."""
    while True:
        yield from _sometimes_count(part)
        if part.burst > 0:
            part.burst -= 1
            yield collect(0, 0.0)
            continue
        total = max(part.total_bytes, 1)
        room = part.room_bytes
        budget = part.dice.choice((0, total // 4, total // 2, total, total, room, room * 2, None))
        min_age_s = part.dice.choice((0.0, 0.0, 0.0, 0.5, None))
        yield collect(budget, min_age_s, dry_run=part.dice.random() < 0.1)  # noqa: PLR2004
        yield Rest(seconds=part.dice.random() * 0.1, empty=True)


def extractor(part: Part) -> Role:
    """Extract clips, read what comes, give it up."""
    while True:
        label = part.dice.choice(sorted(part.clips))
        answer = yield part.clips[label]
        assert answer is not None
        if isinstance(answer.value, Extracted):
            yield from read_all(answer, label, part.dice)
            yield release(answer, "")
        yield Rest(seconds=part.dice.random() * 0.02, empty=True)


ROLES: Final[Mapping[str, Callable[[Part], Role]]] = {
    "reader": reader,
    "writer": writer,
    "collector": collector,
    "extractor": extractor,
}


def opened(errand: Errand, role: Role) -> Role:
    """Open the root, again and again if need be, then play the role."""
    while True:
        answer = yield errand
        assert answer is not None
        if not isinstance(answer.value, BackendError):
            break
        yield Rest(seconds=0.02)
    yield from role


def next_version(part: Part, label: str) -> Version:
    """A version that nobody has made before."""
    part.attempts += 1
    sizes = tuple(part.dice.choice(FRAME_SIZES) for _ in part.store.names)
    return Version(key=label, name=f"{part.process}/{part.attempts}", sizes=sizes)


def stage(part: Part, version: Version) -> Errand:
    """Stage a version whose files are written now."""
    files = part.store.write(part.process, version)
    key = full_key(version.key)
    args = {"key": key, "files": files}
    return Errand(verb=Verb.STAGE, args=args, key=version.key, version=version.name)


def publish(staged: Word, version: Version) -> Errand:
    """Publish what was staged."""
    handle = {"handle": staged.value.handle}
    return Errand(
        verb=Verb.PUBLISH, args=handle, key=version.key, via=staged.op, version=version.name
    )


def release(word: Word, label: str) -> Errand:
    """Give a handle up."""
    args = {"handle": word.value.handle}
    return Errand(verb=Verb.RELEASE, args=args, key=label, via=word.op)


def collect(budget_bytes: int | None, min_age_s: float | None, *, dry_run: bool = False) -> Errand:
    """Collect."""
    args = {"budget_bytes": budget_bytes, "min_age_s": min_age_s, "dry_run": dry_run}
    return Errand(verb=Verb.COLLECT, args=args)


def read_all(word: Word, label: str, dice: Random) -> Role:
    """Read every frame of a handle, sometimes from the last to the first."""
    order: Sequence[int] = range(len(word.value.files))
    for index in order if dice.random() < 0.75 else reversed(order):  # noqa: PLR2004
        args = {"handle": word.value.handle, "index": index}
        yield Errand(verb=Verb.READ, args=args, key=label, via=word.op, index=index)


def _sometimes_count(part: Part) -> Role:
    """Begin a turn, holding nothing; one turn in thirty asks for the counters first."""
    yield Rest(seconds=0.0, empty=True)
    if part.has_stats and part.dice.random() < 1 / 30:
        yield Errand(verb=Verb.STATS, args={})
