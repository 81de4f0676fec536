"""No false alarm: a correct cache in miniature, run in random interleavings, is never blamed.

Each verb takes effect at one moment between its question and its answer. The seeded bugs show that
the same runs would have told.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from untorn_conformance.backend import (
    Adopted,
    Collected,
    Evicted,
    FrameRead,
    Hit,
    Miss,
    MissReason,
    Published,
    Skipped,
    Staged,
    Unpublished,
    UnpublishedReason,
    Verb,
)
from untorn_conformance.contract import Capability
from untorn_stress.payloads import Payloads
from untorn_stress.programs import afterwards
from untorn_stress.rules.history import Aftermath
from untorn_stress.rules.judge import judge
from untorn_stress.run import Finding, Operation, Run, Step
from untorn_stress.scenario import Ask, KeyState, Locks, Scenario
from untorn_stress.scenarios import SCENARIOS, labels_of, starts_of

PAYLOADS = Payloads(Path("/nowhere"))
MODELLED = [each for each in SCENARIOS if Capability.EXTRACT not in each.needs]
SEEDS = range(60)


class _Listed(Payloads):
    """Payloads that are named and never written."""

    def files(self, label: str, writer: str) -> list[dict[str, str]]:  # noqa: ARG002
        return [{"name": name, "path": ""} for name in self.names]


@dataclass(eq=False)
class _Entry:
    label: str
    writer: str
    damaged: bool = False
    gone: bool = False
    holders: int = 0


@dataclass
class _Cache:
    """The whole cache in one place; `bug` is one of those that `BUGS` names."""

    leases: bool
    trusted: bool
    draw: random.Random
    bug: str = ""
    entries: dict[str, _Entry] = field(default_factory=dict)
    handles: dict[str, _Entry] = field(default_factory=dict)
    staged: dict[str, tuple[str, str]] = field(default_factory=dict)
    collecting: int = 0

    def do(self, ask: Ask, new_handle: str) -> object:
        match ask.verb:
            case Verb.STAGE:
                self.staged[new_handle] = (str(PAYLOADS.label(ask.args["key"])), ask.tag)
                return Staged(handle=new_handle)
            case Verb.PUBLISH:
                return self._publish(str(ask.args["handle"]), new_handle)
            case Verb.LOOKUP:
                return self._lookup(str(PAYLOADS.label(ask.args["key"])), new_handle)
            case Verb.READ:
                return self._read(str(ask.args["handle"]), int(str(ask.args["index"])))
            case Verb.RELEASE:
                self.handles.pop(str(ask.args["handle"])).holders -= 1
                return None
            case _:
                return self._collect()

    def _hold(self, handle: str, entry: _Entry) -> str:
        self.handles[handle] = entry
        entry.holders += 1
        return handle

    def _publish(self, staging: str, handle: str) -> object:
        label, writer = self.staged.pop(staging)
        there = self.entries.get(label)
        names = PAYLOADS.names
        if there is not None and there.damaged and not self.trusted:
            own = self._hold(handle, _Entry(label, writer))
            return Unpublished(handle=own, files=names, reason=UnpublishedReason.UNTRUSTED)
        if there is not None and there.damaged and self.leases and there.holders:
            own = self._hold(handle, _Entry(label, writer))
            return Unpublished(handle=own, files=names, reason=UnpublishedReason.BUSY)
        if there is None or there.damaged or self.bug == "replaces":
            if there is not None:
                there.gone = True
            entry = self.entries[label] = _Entry(label, writer)
            return Published(handle=self._hold(handle, entry), files=names)
        return Adopted(handle=self._hold(handle, there), files=names)

    def _lookup(self, label: str, handle: str) -> object:
        there = self.entries.get(label)
        if there is None or (there.damaged and not there.holders):
            reason = MissReason.ABSENT if there is None else MissReason.DAMAGED
            return Miss(reason=reason)
        if self.collecting and self.trusted and self.draw.random() < 0.5:
            return Miss(reason=MissReason.BUSY)
        if self.bug == "loses":
            return Miss(reason=MissReason.ABSENT)
        return Hit(handle=self._hold(handle, there), files=PAYLOADS.names)

    def _read(self, handle: str, index: int) -> object:
        entry = self.handles[handle]
        if entry.gone or (entry.damaged and index == 0):
            return Evicted()
        writer = "w0" if self.bug == "mixes" and index else entry.writer
        return FrameRead(sha256=PAYLOADS.digests(entry.label, writer)[index], bytes=64)

    def _collect(self) -> object:
        if not self.trusted and self.bug != "collects":
            return Skipped(reason="untrusted")
        victims = [
            label
            for label, entry in self.entries.items()
            if not (self.leases and entry.holders and self.bug != "steals")
        ]
        for label in victims:
            self.entries.pop(label).gone = True
        left = len(self.entries)
        return Collected(
            evicted=len(victims) + (self.bug == "counts-twice" and bool(victims)),
            freed_bytes=len(victims) * 128,
            reaped=0,
            over_budget_bytes=left * 128,
            protected={"leased": left} if left else {},
        )


class _World:
    """Workers that ask, take effect and are answered, one such moment a step."""

    def __init__(self, cache: _Cache) -> None:
        self.cache = cache
        self.operations: list[Operation] = []
        self.steps = 0

    def worker(self, name: str, program: Generator[Ask, object, None]) -> Generator[None]:
        try:
            ask = next(program)
            while True:
                index = len(self.operations)
                began = self.steps
                asked = Operation(
                    index=index, worker=name, verb=ask.verb, args=ask.args, tag=ask.tag, began=began
                )
                self.operations.append(asked)
                self.cache.collecting += ask.verb is Verb.COLLECT
                yield
                answer = self.cache.do(ask, f"{name}{index}")
                yield
                self.cache.collecting -= ask.verb is Verb.COLLECT
                self.operations[index] = Operation(
                    index=index,
                    worker=name,
                    verb=ask.verb,
                    args=ask.args,
                    tag=ask.tag,
                    began=began,
                    ended=self.steps,
                    answer=answer,
                )
                ask = program.send(answer)
        except StopIteration:
            return

    def play(self, workers: list[Generator[None]], draw: random.Random) -> None:
        for each in workers:
            next(each)
        while workers:
            chosen = draw.choice(workers)
            self.steps += 1
            try:
                next(chosen)
            except StopIteration:
                workers.remove(chosen)


def findings(
    scenario: Scenario, seed: int, capabilities: frozenset[Capability], bug: str = ""
) -> tuple[Finding, ...]:
    """Run the scenario once over the model, with its aftermath, and judge it."""
    listed = _Listed(Path("/nowhere"))
    trusted = scenario.locks is Locks.REAL
    draw = random.Random(seed)
    cache = _Cache(Capability.LEASE in capabilities, trusted, draw, bug)
    for label, start in starts_of(scenario.tree).items():
        if start is not KeyState.ABSENT:
            cache.entries[label] = _Entry(label, "w0", damaged=start is KeyState.DAMAGED)
    world = _World(cache)
    programs = zip("ABC", scenario.programs, strict=False)
    world.play([world.worker(name, each(listed)) for name, each in programs], draw)
    operations, steps = tuple(world.operations), world.steps
    after = _World(cache)
    cache.trusted = True
    for label in labels_of(scenario, scenario.tree):
        for number, each in enumerate(afterwards(label)):
            after.play([after.worker(f"{label}{number}", each(listed))], draw)
    run = Run(
        scenario=scenario.name,
        tree=scenario.tree,
        seed=seed,
        choices=(),
        steps=tuple(
            Step(number=n, actor="A", label="A", operation=-1, call="", detail="", result="0")
            for n in range(steps)
        ),
        operations=operations,
    )
    aftermath = Aftermath(operations=tuple(after.operations))
    return judge(run, scenario, PAYLOADS, capabilities, aftermath)


@pytest.mark.parametrize("lease", [True, False], ids=["leased", "unleased"])
@pytest.mark.parametrize("scenario", MODELLED, ids=lambda each: each.name)
def test_a_correct_cache_is_never_blamed(scenario: Scenario, lease: bool) -> None:
    capabilities = frozenset({Capability.LEASE} if lease else ())
    for seed in SEEDS:
        assert findings(scenario, seed, capabilities) == (), seed


BUGS = {
    "replaces": ("adopt", "P3"),
    "loses": ("adopt-reader", "R2"),
    "mixes": ("reader-writer", "P1"),
    "steals": ("reader-collector", "R4"),
    "counts-twice": ("collector-collector", "G8"),
    "collects": ("writer-collector-noop", "N1"),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_seeded_bug_is_blamed(bug: str) -> None:
    name, row = BUGS[bug]
    scenario = next(each for each in SCENARIOS if each.name == name)
    blamed = {
        each.requirement
        for seed in SEEDS
        for each in findings(scenario, seed, frozenset({Capability.LEASE}), bug)
    }
    assert row in blamed
