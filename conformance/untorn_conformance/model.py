"""What the contract promises of one operation after another: a model with several possible worlds.

    worlds --(what was asked, what was answered)--> worlds that are possible still, or a breach

Rule 1: one process acts at a time, and dies only between two operations. What stays open then is
        which entries a collect chose; each choice that the contract allows is a world.
Rule 2: only what the contract says is claimed. Where it leaves a choice (uses that recency cannot
        tell apart, held entries of a cache without leases, ``busy``), all choices go on.
Rule 3: an answer that no world allows is a breach, of the row that the first world names: worlds
        are in the order in which a collect would rather choose.

Not claimed: the reason of a miss; how many bytes unpublished work may weigh, beyond its payload;
ties in recency (G1); anything of a collect that was skipped.

Source: Claessen and Hughes, QuickCheck (ICFP 2000), state machines of their successors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from untorn_conformance.backend import (
    Adopted,
    Collected,
    Damaged,
    Evicted,
    FrameRead,
    Hit,
    Miss,
    Published,
    Skipped,
    Unpublished,
    UnpublishedReason,
)
from untorn_conformance.eviction import Asked, Collect
from untorn_conformance.worlds import (
    SLACK_S,
    BreachError,
    Content,
    Entry,
    Handle,
    Promises,
    World,
)

_OCCUPIED: Final = frozenset({"EEXIST", "ENOTEMPTY", "ENOTDIR", "EISDIR"})
_EXCUSED: Final = frozenset({UnpublishedReason.BUSY, UnpublishedReason.TOO_LARGE})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Work:
    """What was staged: whose it is, and under which label."""

    worker: str
    label: str
    content: Content


Step: TypeAlias = Callable[[dict[str, Entry]], Iterable[dict[str, Entry]]]


class Model:
    """The cache as the contract has it. Each method takes in one answer; it raises BreachError."""

    def __init__(self, promises: Promises) -> None:
        self._promises = promises
        self._worlds: tuple[World, ...] = ((),)
        self._now_s = 0.0
        self._serial = 0
        self._staged: dict[tuple[str, str], _Work] = {}
        self._handles: dict[tuple[str, str], Handle] = {}
        self._orphans: list[float] = []  # when the writers of left stagings were killed
        self._loose = 0  # stagings that did not become entries: they may weigh, and be reaped

    # --- time and processes

    def age(self, seconds: float) -> None:
        """Everything has become older."""
        self._now_s += seconds

    def ended(self, worker: str, *, killed: bool) -> None:
        """The worker was killed or closed: it holds nothing any more."""
        for key, handle in list(self._handles.items()):
            if handle.worker == worker:
                self._let_go(key)
        for key, work in list(self._staged.items()):
            if work.worker == worker:
                del self._staged[key]
                self._orphans += [self._now_s] * killed

    def stagings(self, worker: str) -> list[str]:
        """The handles of its unpublished work, oldest first."""
        return [handle for owner, handle in self._staged if owner == worker]

    def handles(self, worker: str) -> list[str]:
        """The handles that it may read, oldest first."""
        return [handle for owner, handle in self._handles if owner == worker]

    def files(self, worker: str, handle: str) -> int:
        """How many files the handle has."""
        return len(self._handles[worker, handle].content.files)

    # --- writing

    def staged(self, worker: str, handle: str, label: str, content: Content) -> None:
        """Work was staged; nobody sees it."""
        self._staged[worker, handle] = _Work(worker=worker, label=label, content=content)
        self._loose += 1

    def abandoned(self, worker: str, handle: str) -> None:
        """Staged work was given up."""
        del self._staged[worker, handle]

    def published(
        self, worker: str, handle: str, answer: Published | Adopted | Unpublished
    ) -> None:
        """A publish was answered; what it handed out is held from now on."""
        work = self._staged.pop((worker, handle))
        if isinstance(answer, Published):
            self._serial += 1
            self._follow(lambda there: self._land(there, work, answer))
            self._loose -= 1
        elif isinstance(answer, Adopted):
            self._follow(lambda there: self._adopt(there, work, answer))
        else:
            self._follow(lambda there: _refuse(there, work, answer))
        serial, content = 0, work.content
        if not isinstance(answer, Unpublished):
            entry = dict(self._worlds[0])[work.label]
            serial, content = entry.serial, entry.content
        self._hold(worker, answer.handle, work.label, serial, content)

    def _land(
        self, there: dict[str, Entry], work: _Work, answer: Published
    ) -> Iterator[dict[str, Entry]]:
        if work.label in there:
            other = there[work.label].content.writer
            raise BreachError("P2", f"told published, though the entry of {other} was not removed")
        _must_list("P1", answer.files, work.content)
        now_s = self._now_s
        entry = Entry(
            serial=self._serial,
            content=work.content,
            published_s=now_s,
            used_from_s=now_s,
            used_to_s=now_s,
        )
        yield {**there, work.label: entry}

    def _adopt(
        self, there: dict[str, Entry], work: _Work, answer: Adopted
    ) -> Iterator[dict[str, Entry]]:
        if work.label not in there:
            raise BreachError("P2", "told adopted, though nothing was there to adopt")
        _must_list("P1", answer.files, there[work.label].content)
        yield {**there, work.label: replace(there[work.label], used_to_s=self._now_s)}

    # --- reading

    def looked_up(self, worker: str, label: str, answer: Hit | Miss) -> None:
        """A lookup was answered; a hit is held from now on."""
        self._follow(lambda there: self._look(there, label, answer))
        if isinstance(answer, Hit):
            entry = dict(self._worlds[0])[label]
            self._hold(worker, answer.handle, label, entry.serial, entry.content)

    def _look(
        self, there: dict[str, Entry], label: str, answer: Hit | Miss
    ) -> Iterator[dict[str, Entry]]:
        entry = there.get(label)
        if isinstance(answer, Miss):
            if entry is not None:
                why = f"missed ({answer.reason}), though {entry.content.writer} had published"
                raise BreachError(entry.kept or "R2", f"{why} and nothing may have removed it")
            yield there
        elif entry is None:
            ever = any(label in dict(world) for world in self._worlds)
            told = "the collects counted it as evicted" if ever else "nobody published"
            raise BreachError("G7" if ever else "P1", f"hit, though {told}")
        else:
            _must_list("R1", answer.files, entry.content)
            latest_s = max(entry.used_from_s, self._now_s - self._promises.recency_resolution_s)
            used = replace(entry, used_from_s=latest_s, used_to_s=self._now_s)
            yield {**there, label: used}

    def read(
        self, worker: str, handle: str, index: int, answer: FrameRead | Evicted | Damaged
    ) -> None:
        """A file of a handle was read."""
        held = self._handles[worker, handle]
        self._follow(lambda there: self._reads(there, held, index, answer))

    def _reads(
        self,
        there: dict[str, Entry],
        held: Handle,
        index: int,
        answer: FrameRead | Evicted | Damaged,
    ) -> Iterator[dict[str, Entry]]:
        told = f"file {index} of the entry of {held.content.writer}"
        entry = there.get(held.label)
        stays = entry is not None and entry.serial == held.serial
        if isinstance(answer, FrameRead):
            if answer.sha256 != held.content.digests[index]:
                row = "P5" if not held.serial else "R1" if stays or self._promises.leases else "R5"
                raise BreachError(row, f"{told}: other bytes")
        elif not held.serial:
            raise BreachError("P5", "a writer lost its own unpublished frames")
        elif self._promises.leases:
            raise BreachError("R4", f"{told} was lost to a reader that holds it")
        elif stays:
            raise BreachError("R1", f"{told}: {type(answer).__name__.lower()}, and nobody evicted")
        elif not isinstance(answer, Evicted):
            raise BreachError("R5", f"{told} was evicted, and the answer says otherwise")
        if stays and entry is not None:
            there = {**there, held.label: replace(entry, used_to_s=self._now_s)}
        yield there

    def released(self, worker: str, handle: str) -> None:
        """A handle was given up."""
        self._let_go((worker, handle))

    # --- collecting

    def collected(self, asked: Asked, answer: Collected | Skipped) -> None:
        """A collect was answered."""
        if isinstance(answer, Skipped):
            return
        collect = Collect(
            promises=self._promises,
            asked=asked,
            answer=answer,
            now_s=self._now_s,
            held=frozenset(each.serial for each in self._handles.values()),
            loose=self._loose,
        )
        self._follow(collect.follow)
        if asked.dry_run:
            return
        due = [died_s for died_s in self._orphans if self._is_due(died_s)]
        if answer.reaped < len(due):
            told = f"{len(due)} dead writers' stagings were due, and {answer.reaped} were reaped"
            raise BreachError("G4", told)
        # More than were due were reaped: whose they were is not known.
        young = [died_s for died_s in self._orphans if died_s not in due]
        self._orphans = young if answer.reaped == len(due) else []

    def _is_due(self, died_s: float) -> bool:
        return self._now_s - died_s > self._promises.reap_grace_s + SLACK_S

    # --- the worlds

    def _follow(self, step: Step) -> None:
        """Go on with what each world allows. Raises BreachError where none does."""
        worlds: dict[World, None] = {}
        breaches: list[BreachError] = []
        for world in self._worlds:
            try:
                for there in step(dict(world)):
                    worlds[tuple(sorted(there.items(), key=lambda item: item[0]))] = None
            except BreachError as breach:
                breaches.append(breach)
        if not worlds:
            raise breaches[0]
        self._worlds = tuple(worlds)

    def _hold(self, worker: str, handle: str, label: str, serial: int, content: Content) -> None:
        held = Handle(worker=worker, label=label, serial=serial, content=content)
        self._handles[worker, handle] = held

    def _let_go(self, key: tuple[str, str]) -> None:
        """The hold has ended; until now it may have counted as use."""
        serial = self._handles.pop(key).serial
        self._worlds = tuple(
            tuple(
                (label, replace(entry, used_to_s=self._now_s) if entry.serial == serial else entry)
                for label, entry in world
            )
            for world in self._worlds
        )


def _refuse(
    there: dict[str, Entry], work: _Work, answer: Unpublished
) -> Iterator[dict[str, Entry]]:
    """A publish may be refused for what is no error, or since the place is taken."""
    _must_list("P5", answer.files, work.content)
    occupied = work.label in there and (answer.errno is None or answer.errno in _OCCUPIED)
    if answer.reason not in _EXCUSED and not occupied:
        why = " ".join(filter(None, (answer.reason, answer.errno, answer.step)))
        raise BreachError("P2", f"told unpublished ({why}), and nothing was in the way")
    yield there


def _must_list(requirement: str, files: tuple[str, ...], content: Content) -> None:
    if files != content.files:
        listed = ", ".join(files) or "no file"
        raise BreachError(requirement, f"listed {listed}; published were {len(content.files)}")
