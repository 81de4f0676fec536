"""A tiny cache that keeps every promise, in memory, with processes that interleave, die and stop.

It makes rounds: what a storm would have written down of a correct cache, by a seed. Each operation
is asked, has its effect at one moment (a collect at several) and is answered; a step takes one
process from one of these to the next, so that everything overlaps everything in time. It does what
the contract lets a cache choose as differently as it can: staging that weighs or not, stamps of
staging or of publishing, handles that find their files late, collects of its own accord.

A ``Flaw`` takes away one promise; its checker must see it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from untorn_conformance.history import (
    Audit,
    Death,
    Excuse,
    Op,
    OpOutcome,
    Round,
    RoundStart,
    Seen,
    Strike,
)
from untorn_conformance.meta.imagined_flaws import KINDS_FOR, REFUSES, Flaw
from untorn_conformance.meta.imagined_row import RESOLUTION_S, Row

MS: Final = 1_000_000
FRAMES: Final = 3
BYTES: Final = 10
DAY_S: Final = 86_400.0


@dataclass(slots=True)
class Stored:
    """An entry: when it was stamped (a moved clock moves that), what became of it."""

    version: str
    stamp_ns: int
    used_ns: int
    harmed: bool = False


@dataclass(slots=True)
class Held:
    """A handle: its operation, and the version it reads ("" until it finds its files)."""

    op: int
    key: str
    version: str
    own: bool = False


@dataclass(slots=True)
class Worker:
    """A process: what it holds, what it counted, what it does next."""

    name: str
    program: Iterator[None]
    handles: list[Held] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)


class Imagined:
    """One round of the cache, by a seed."""

    def __init__(self, seed: int, *, flaw: Flaw | None = None, steps: int = 400) -> None:
        self.random = random.Random(seed)
        self.flaw = flaw
        self.steps = steps
        self.now = 1000 * MS
        self.lease = flaw is Flaw.IGNORES_LEASES or self.random.random() < 0.6
        self.keys = ("a", "b", "c")[: self.random.randint(1, 3)]
        if flaw is Flaw.IS_BUSY_FOR_NOTHING:
            self.keys = tuple("abcdefghij")
        self.budget = self.random.choice([None, None, BYTES]) if flaw is None else None
        self.own_min_age_s = self.random.choice([0.0, 0.2])
        self.staging_weighs = self.random.random() < 0.5
        self.stamps_staging = self.random.random() < 0.5
        self.stored: dict[str, Stored] = {}
        self.evicted: dict[str, Stored] = {}
        self.staged: dict[str, int] = {}
        self.ops: list[dict[str, Any]] = []
        self.strikes: list[Strike] = []
        self.deaths: list[Death] = []
        self.has_row = bool(flaw.row) if flaw is not None else self.random.random() < 0.5
        self.strikes_no_more = self.refusing = False
        self.moved = False
        self.born = 0
        self.open_ops: dict[str, str] = {}
        self.present = {key: f"{key}0" for key in self.keys if self.random.random() < 0.5}
        for key, version in self.present.items():
            self.stored[key] = Stored(version, 0, 0)
        self.workers: list[Worker] = []
        for role in (self._reader, self._reader, self._writer, self._writer, self._collector):
            self._start(role)

    # --- the round

    def play(self) -> Round:
        """Let it happen."""
        nemesis = self._nemesis()
        for _ in range(self.steps):
            self.now += self.random.choice([0, 1, 5, 20]) * MS
            if self.random.random() < 0.04:
                next(nemesis)
            elif self.random.random() < 0.03:
                self._kill(self.random.choice(self.workers))
            else:
                next(self.random.choice(self.workers).program)
        for worker in list(self.workers):
            self._end(worker)
        self.strikes_no_more = True
        for _ in range(2):  # what struck last is over before anybody looks, and on record
            next(nemesis, None)
        if self.has_row:
            Row(self).play()
        debris = ("trash/1",) if self.flaw is Flaw.LEAVES_DEBRIS else ()
        start = RoundStart(
            number=1,
            seed=0,
            backend="imagined",
            keys=self.keys,
            frames=FRAMES,
            entry_bytes=BYTES,
            capabilities=(*("lease",) * self.lease, "stats"),
            budget_bytes=self.budget,
            min_age_s=self.own_min_age_s,
            limits={
                "flight_wait_s": 2.0,
                "reap_grace_s": 0.02,
                "recency_resolution_s": RESOLUTION_S,
                "bytes_meaning": "st_size",
            },
            present=self.present,
        )
        return Round(
            start=start,
            ops=tuple(Op(**each) for each in self.ops),
            strikes=tuple(self.strikes),
            deaths=tuple(self.deaths),
            audit=Audit(at_ns=self.now, debris=debris, counted_bytes=BYTES, disk_bytes=BYTES),
        )

    def _start(self, role: Any) -> None:
        self.born += 1
        worker = Worker(f"p{self.born}", iter(()))
        worker.program = role(worker)
        worker.counters["role"] = 0
        self._roles = getattr(self, "_roles", {}) | {worker.name: role}
        self.workers.append(worker)

    def _end(self, worker: Worker) -> None:
        self.workers.remove(worker)
        self.open_ops.pop(worker.name, None)
        self.now += self.random.choice([0, 3]) * MS
        self.deaths.append(Death(process=worker.name, at_ns=self.now))

    def _kill(self, worker: Worker) -> None:
        self._end(worker)
        self._start(self._roles[worker.name])

    # --- operations

    def _ask(self, worker: Worker, verb: str, **said: Any) -> dict[str, Any]:
        op = {
            "id": len(self.ops),
            "process": worker.name,
            "verb": verb,
            "began_ns": self.now,
            **said,
        }
        self.ops.append(op)
        self.open_ops[worker.name] = said.get("key", "") if verb != "collect" else "*"
        return op

    def _answer(self, worker: Worker, op: dict[str, Any], outcome: OpOutcome, **said: Any) -> None:
        op.update(ended_ns=self.now, outcome=outcome, **said)
        self.open_ops.pop(worker.name, None)

    def _held(self, version: str) -> bool:
        return self.lease and any(
            each.version == version for worker in self.workers for each in worker.handles
        )

    # --- readers

    def _reader(self, worker: Worker) -> Iterator[None]:
        while True:
            key = self.random.choice(self.keys)
            op = self._ask(worker, "lookup", key=key)
            yield
            beside = {name: at for name, at in self.open_ops.items() if name != worker.name}
            entry = self.stored.get(key)
            reason = self._why_missed(key, entry, {*beside.values()})
            if not reason and entry is not None:
                entry.used_ns = self.now
                late = not self.lease and self.random.random() < 0.3
                worker.handles.append(Held(op["id"], key, "" if late else entry.version))
            yield
            if reason:
                worker.counters[f"miss.{reason}"] += 1
                self._answer(worker, op, OpOutcome.MISS, reason=reason)
                continue
            if self.flaw is Flaw.SAYS_NONSENSE and self.random.random() < 0.1:
                self._answer(worker, op, OpOutcome.ERROR, reason="protocol")
                continue
            worker.counters["hit"] += 2 if self.flaw is Flaw.COUNTS_TWICE else 1
            self._answer(worker, op, OpOutcome.HIT, files=FRAMES)
            yield from self._read(worker)
            if self.random.random() < 0.2:
                yield from self._stats(worker)

    def _why_missed(self, key: str, entry: Stored | None, beside: set[str]) -> str:
        if self.refusing and self.random.random() < 0.7:
            return self.random.choice(["unreadable", "absent"])
        if entry is None:
            return "absent"
        if entry.harmed and self.random.random() < 0.5:
            return "damaged"
        if {key, "*"} & beside and self.random.random() < 0.1:
            return "busy"
        if self.flaw is Flaw.MISSES and self.random.random() < 0.3:
            return "absent"
        return ""

    def _read(self, worker: Worker) -> Iterator[None]:
        held = worker.handles[-1]
        for index in range(self.random.randint(0, FRAMES)):
            op = self._ask(worker, "read", via=held.op, index=index)
            yield
            outcome, seen = self._bytes(held, index)
            yield
            self._answer(worker, op, outcome, seen=seen)
        if self.random.random() < 0.8:
            op = self._ask(worker, "release", via=held.op)
            if self.random.random() < 0.5:
                worker.handles.remove(held)
            yield
            if held in worker.handles:
                worker.handles.remove(held)
            yield
            self._answer(worker, op, OpOutcome.DONE)

    def _bytes(self, held: Held, index: int) -> tuple[OpOutcome, Seen | None]:
        entry = self.stored.get(held.key)
        if self.refusing and self.random.random() < 0.5:
            return OpOutcome.DAMAGED, None
        if self.flaw is Flaw.MIXES_VERSIONS and entry is not None and index:
            return OpOutcome.READ, Seen(key=held.key, version=entry.version, index=0)
        if held.own:
            return OpOutcome.READ, Seen(key=held.key, version=held.version, index=index)
        if not held.version:
            if entry is None or entry.harmed:
                return OpOutcome.EVICTED, None
            held.version = entry.version
        there = entry is not None and entry.version == held.version
        if there and entry is not None and entry.harmed:
            return OpOutcome.DAMAGED, None
        if not there and self.random.random() < 0.7:  # else its files were open
            return OpOutcome.EVICTED, None
        return OpOutcome.READ, Seen(key=held.key, version=held.version, index=index)

    def _stats(self, worker: Worker) -> Iterator[None]:
        op = self._ask(worker, "stats")
        yield
        self._answer(worker, op, OpOutcome.COUNTED, numbers=dict(worker.counters))

    # --- writers

    def _writer(self, worker: Worker) -> Iterator[None]:
        for number in range(10**6):
            key = self.random.choice(self.keys)
            version = f"{key}.{worker.name}.{number}"
            staged = self._ask(worker, "stage", key=key, version=version)
            self.staged[version] = self.now
            if self.flaw is Flaw.SHOWS_STAGING and key not in self.stored:
                self.stored[key] = Stored(version, self.now, self.now)
            yield
            if self.flaw is Flaw.RAISES and self.refusing:
                self._answer(worker, staged, OpOutcome.ERROR, reason="internal")
                continue
            self._answer(worker, staged, OpOutcome.STAGED)
            if self.random.random() < 0.1:
                continue  # left as it is
            op = self._ask(worker, "publish", key=key, version=version, via=staged["id"])
            yield
            outcome, reason = self._publish(worker, op)
            if outcome is not OpOutcome.UNPUBLISHED:
                del self.staged[version]
            yield
            counter = f"unpublished.{reason}" if reason else outcome.value
            worker.counters[counter] += 1
            self._answer(worker, op, outcome, reason=reason, files=FRAMES)
            yield from self._read(worker)

    def _publish(self, worker: Worker, op: dict[str, Any]) -> tuple[OpOutcome, str]:
        key, version = op["key"], op["version"]
        refuses = REFUSES.get(self.flaw, "") if self.random.random() < 0.3 else ""
        if refuses:
            worker.handles.append(Held(op["id"], key, version, own=True))
            return OpOutcome.UNPUBLISHED, refuses
        if self.flaw is Flaw.HANGS and self.random.random() < 0.1:
            self.now += 13_000 * MS
        self._collect_by_itself(worker)
        if self.refusing and self.random.random() < 0.6:
            if self.stored.get(key) is None and self.random.random() < 0.3:
                self._land(key, version)  # and then something failed
            worker.handles.append(Held(op["id"], key, version, own=True))
            return OpOutcome.UNPUBLISHED, "errno"
        entry = self.stored.get(key)
        if entry is not None and entry.harmed and self._held(entry.version):
            worker.handles.append(Held(op["id"], key, version, own=True))
            return OpOutcome.UNPUBLISHED, "busy"
        replaces = self.flaw is Flaw.REPLACES and self.random.random() < 0.3
        if entry is None or entry.harmed or replaces:
            self._land(key, version)
            worker.handles.append(Held(op["id"], key, version))
            return OpOutcome.PUBLISHED, ""
        if entry.version == version:  # shown before: the flaw
            worker.handles.append(Held(op["id"], key, version))
            return OpOutcome.PUBLISHED, ""
        worker.handles.append(Held(op["id"], key, entry.version))
        return OpOutcome.ADOPTED, ""

    def new_entry(self, version: str) -> Stored:
        """An entry of now."""
        return Stored(version, self.now, self.now)

    def _land(self, key: str, version: str) -> None:
        stamp = self.staged[version] if self.stamps_staging else self.now
        self.stored[key] = Stored(version, stamp, self.now)

    # --- collectors

    def _collector(self, worker: Worker) -> Iterator[None]:
        while True:
            budget = self.random.choice([0, BYTES, 2 * BYTES, 100 * BYTES])
            min_age_s = self.random.choice([0.0, 0.0, 0.15, 5.0])
            dry_run = self.random.random() < 0.1
            op = self._ask(worker, "collect")
            yield
            if self.random.random() < 0.1:
                worker.counters["collect_skipped.another-collector"] += 1
                self._answer(worker, op, OpOutcome.SKIPPED, reason="another-collector")
                continue
            numbers = yield from self._collect(budget, min_age_s, dry_run=dry_run)
            yield
            if not dry_run:
                worker.counters["evicted"] += int(numbers["evicted"])
            self._answer(worker, op, OpOutcome.COLLECTED, numbers=numbers)
            if self.random.random() < 0.3:
                yield from self._stats(worker)

    def _collect(
        self, budget: int, min_age_s: float, *, dry_run: bool
    ) -> Generator[None, None, dict[str, float]]:
        """Evict one by one, least recently used first; what is protected is passed over."""
        evicted = protected = 0
        loose = len(self.staged) * BYTES * self.staging_weighs
        listing = sorted(self.stored.items(), key=lambda item: item[1].used_ns)
        weight = len(listing) * BYTES + loose
        for key, entry in listing:
            if weight <= budget and not self._believes():
                break
            yield
            if self.stored.get(key) is not entry:
                weight -= BYTES
                continue
            if not self._may_go(entry, min_age_s):
                protected += 1
                continue
            weight -= BYTES
            evicted += not (self.refusing and self.random.random() < 0.5)
            if not dry_run:
                self.evicted[key] = self.stored.pop(key)
        yield
        if self.flaw is Flaw.BRINGS_BACK and not dry_run:
            self.stored = {**self.evicted, **self.stored}
        return {
            "budget_bytes": budget,
            "min_age_s": min_age_s,
            "evicted": evicted,
            "over_budget_bytes": max(0, weight - budget),
            "protected": protected,
            "dry_run": dry_run,
        }

    def _believes(self) -> bool:
        return self.flaw is Flaw.BELIEVES_CLOCKS and self.moved

    def _may_go(self, entry: Stored, min_age_s: float) -> bool:
        age_ns = max(0, self.now - entry.stamp_ns)
        young = age_ns < min_age_s * 1000 * MS and self.flaw is not Flaw.IGNORES_AGES
        held = self._held(entry.version) and self.flaw is not Flaw.IGNORES_LEASES
        return not young and not held

    def _collect_by_itself(self, worker: Worker) -> None:
        if self.budget is None:
            return
        for key, entry in list(self.stored.items()):
            if self._may_go(entry, self.own_min_age_s) and self.random.random() < 0.5:
                del self.stored[key]
                worker.counters["evicted"] += 1

    # --- the nemesis

    def _nemesis(self) -> Iterator[None]:
        """One strike after another; each step begins one or ends it."""
        kinds = [*Excuse] if self.flaw is None else KINDS_FOR.get(self.flaw, [])
        while True:
            if not kinds:
                yield
                continue
            kind, began = self.random.choice(kinds), self.now
            self._strike(kind)
            yield
            self.refusing = False
            if kind is Excuse.REMOVES:
                self._strike(kind)
            self.now += self.random.choice([0, 1]) * MS
            self.strikes.append(
                Strike(name=kind, begin_ns=began, end_ns=self.now, excuses=(kind,), bit=True)
            )
            if self.strikes_no_more:
                return

    def _strike(self, kind: Excuse) -> None:
        if kind is Excuse.REFUSES:
            self.refusing = True
        elif kind is Excuse.AGES:
            self.moved = True
            for entry in self.stored.values():
                entry.stamp_ns += self.random.choice([-1, 1]) * int(DAY_S) * 1000 * MS
        elif kind is Excuse.REMOVES:
            for key, entry in list(self.stored.items()):
                if self.random.random() < 0.5:
                    entry.harmed = True
                elif self.random.random() < 0.5:
                    del self.stored[key]
