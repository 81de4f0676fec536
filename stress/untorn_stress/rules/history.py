"""A run as its judges see it: who held what, which operations overlapped, what was there at first.

Rule 1: X precedes Y when X had ended, with all its steps, before the first step of Y; where neither
        took a step, their index decides. All else overlaps, and either order is allowed for.
Rule 2: what followed the run (the aftermath) belongs to its history: it is after everything.
Rule 3: only collectors remove entries. A collect that was skipped, or evicts nothing by its own
        order (a dry run), removes none; one without an answer may have removed anything.
Rule 4: what was not answered may or may not have happened: its worker died, or was killed.

Source: Herlihy and Wing, Linearizability (TOPLAS 1990), for the order in real time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from untorn_conformance.backend import (
    Adopted,
    Collected,
    Extracted,
    FrameRead,
    Hit,
    Published,
    Rendered,
    Skipped,
    Staged,
    Unpublished,
    Verb,
)
from untorn_conformance.contract import Capability

from untorn_stress.payloads import Origin, Payloads
from untorn_stress.run import Finding, FindingKind, Operation, Run, is_kill
from untorn_stress.scenario import KeyState, Locks, Scenario
from untorn_stress.scenarios import labels_of, starts_of

Handed: TypeAlias = Hit | Published | Adopted | Unpublished | Extracted
_HANDED_OUT = (Hit, Published, Adopted, Unpublished, Extracted)


@dataclass(frozen=True, kw_only=True, slots=True)
class Debris:
    """The names that one collect leaves when all are dead and the grace of everything is over.

    ``left`` is what it left here, in canonical form and sorted, ``usual`` what it leaves of the
    same backend's undisturbed publish. ``failed`` says how it failed, where it did. ``held_bytes``
    is what the collector, asked before, held to be stored, by st_size; None where it did not say.
    """

    left: tuple[str, ...] = ()
    usual: tuple[str, ...] = ()
    failed: str = ""
    held_bytes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Aftermath:
    """What fresh workers were asked and answered when the run was over and its workers closed.

    ``operations`` are those of ``programs.afterwards`` for each label of the scenario, in the order
    in which they were asked, one at a time. ``lost_bytes`` is what left the tree during the run, in
    the backend's meaning of bytes; None if the trees could not be weighed in it. ``debris`` is what
    another fresh worker could not reclaim; None if nobody was to, or it cannot be decided.
    """

    operations: tuple[Operation, ...] = ()
    lost_bytes: int | None = None
    debris: Debris | None = None


NO_AFTERMATH = Aftermath()


@dataclass(frozen=True, kw_only=True, slots=True)
class Holding:
    """One handle: the operation and answer that gave it, the reads through it, its release.

    ``label`` is None where the key is not ours. ``writer`` is whose work was published, or "".
    ``inputs`` are those of the extraction that it is of, None where nothing was extracted.
    """

    source: Operation
    answer: Handed
    label: str | None
    writer: str
    reads: tuple[Operation, ...]
    release: Operation | None
    inputs: object = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Publish:
    """One request to publish: its operation, the key's label, and the writer whose work it is."""

    operation: Operation
    label: str | None
    writer: str


@dataclass(slots=True)
class _Open:
    """A handle while its worker's operations are gone through."""

    source: Operation
    answer: Handed
    label: str | None
    writer: str
    inputs: object
    reads: list[Operation] = field(default_factory=list)
    release: Operation | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """Everything that is judged; made by ``history_of``.

    ``waited_out``: the run took longer than the backend's ``flight_wait_s``. ``collects``: an
    undisturbed collect is not skipped on this file system. ``uses_locks``: the backend asked for
    one where locks are lied about.
    """

    run: Run
    scenario: Scenario
    payloads: Payloads
    capabilities: frozenset[Capability]
    operations: tuple[Operation, ...]
    holdings: tuple[Holding, ...]
    publishes: tuple[Publish, ...]
    lost_bytes: int | None = None
    debris: Debris | None = None
    waited_out: bool = False
    collects: bool = True
    uses_locks: bool = True

    # --- what kind of run it was

    @property
    def faulted(self) -> bool:
        """Whether a call was made to fail: then only what no fault excuses is judged.

        That a worker was killed excuses nobody else.
        """
        return any(each.faults for each in self.run.operations)

    def is_afflicted(self, operation: Operation) -> bool:
        """Whether its calls may fail: one of them did, or what its worker met before goes on."""
        done = operation.ended if operation.is_answered else len(self.run.choices)
        return bool(operation.faults) or any(
            label.endswith("+") and label[0] == operation.worker
            for label in self.run.choices[:done]
        )

    @property
    def killed_at(self) -> int | None:
        """The step in whose place the first worker was killed."""
        kills = (step for step, label in enumerate(self.run.choices) if is_kill(label))
        return next(kills, None)

    @property
    def trusts_locks(self) -> bool:
        """Whether locks did their work."""
        return self.scenario.locks is Locks.REAL

    @property
    def leases(self) -> bool:
        """Whether what is handed out is held: the backend says so, and locks do their work."""
        return Capability.LEASE in self.capabilities and self.trusts_locks

    def start(self, label: str | None) -> KeyState:
        """What the key held at the start."""
        return starts_of(self.run.tree).get(label or "", KeyState.UNKNOWN)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels whose keys the run touches."""
        return labels_of(self.scenario, self.run.tree)

    @property
    def knows_its_start(self) -> bool:
        """Whether the run began from a natural tree."""
        return {KeyState.CRASHED, KeyState.UNKNOWN}.isdisjoint(starts_of(self.run.tree).values())

    # --- order

    def is_after_the_run(self, operation: Operation) -> bool:
        """Whether the operation belongs to the aftermath."""
        return operation.index >= len(self.run.operations)

    def amid(self, verb: Verb, first: Operation, last: Operation) -> list[Operation]:
        """The operations of this verb that are neither over before ``first`` nor after ``last``.

        When the run is over, so are the operations of the dead.
        """
        after = self.is_after_the_run(first)
        return [
            each
            for each in self.operations
            if each.verb is verb and not precedes(each, first) and not precedes(last, each)
            if self.is_after_the_run(each) or not after
        ]

    def removals_amid(self, first: Operation, last: Operation) -> list[Operation]:
        """The collects that may have removed an entry from the beginning of one to the other."""
        return [each for each in self.amid(Verb.COLLECT, first, last) if may_remove(each)]

    # --- what was answered

    def of(self, *answers: type[object]) -> Iterator[Holding]:
        """The handles that these answers gave."""
        return (each for each in self.holdings if isinstance(each.answer, answers))

    @property
    def collected(self) -> list[Collected]:
        """The answers of all collects that did their work."""
        return [each.answer for each in self.operations if isinstance(each.answer, Collected)]

    @property
    def all_collects_answered(self) -> bool:
        """Whether it is known what each collect did."""
        return all(
            isinstance(each.answer, Collected | Skipped)
            for each in self.operations
            if each.verb is Verb.COLLECT
        )

    def origins(self, holding: Holding) -> dict[int, Origin | None]:
        """Whose bytes each read of a handle gave, by the operation's index."""
        return {
            read.index: self.payloads.origin(read.answer.sha256)
            for read in holding.reads
            if isinstance(read.answer, FrameRead)
        }

    def writers_read(self, holding: Holding) -> set[str]:
        """The writers whose bytes a handle gave."""
        return {origin.writer for origin in self.origins(holding).values() if origin is not None}

    def is_sound(self, holding: Holding) -> bool:
        """Whether the handle certainly leads to an entry that no outsider harmed.

        A lookup may still hit what was harmed before the run (T1); a publish never adopts it. What
        only a crash left is no such thing: it is a miss, or complete (C1).
        """
        if not isinstance(holding.answer, Hit):
            return True
        if self.start(holding.label) in {KeyState.ABSENT, KeyState.COMPLETE, KeyState.CRASHED}:
            return True
        seen = self.writers_read(holding)
        return bool(seen) and seen <= self._writers_of(holding.label)

    def may_be_of_a_crash(self, holding: Holding) -> bool:
        """Whether the handle may lead to what a crash left: nothing of this run was read."""
        crashed = self.start(holding.label) is KeyState.CRASHED and isinstance(holding.answer, Hit)
        return crashed and self.writers_read(holding).isdisjoint(self._writers_of(holding.label))

    def row_of_a_crash(self, row: str) -> str:
        """The row that is broken after a kill: ``row``, or C4 if a crash had come before the run.

        Whoever begins from what a crash left recovers from it, whatever it was asked to do.
        """
        return row if self.knows_its_start else "C4"

    def torn_row(self, holding: Holding) -> str:
        """The row that a torn handle breaks: C1 where only a crash can have torn it, else P1."""
        killed = self.killed_at
        harmed = self.start(holding.label) in {KeyState.DAMAGED, KeyState.UNKNOWN}
        if (
            killed is not None
            and not harmed
            and (self.is_after_the_run(holding.source) or holding.source.ended > killed)
        ):
            return self.row_of_a_crash("C1")
        if not self.may_be_of_a_crash(holding):
            return "P1"
        published = any(
            each.label == holding.label and not precedes(holding.source, each.operation)
            for each in self.publishes
        )
        return "C1" if self.writers_read(holding) or not published else "P1"

    def _writers_of(self, label: str | None) -> set[str]:
        """Whose work of this key was to be published in this history."""
        return {each.writer for each in self.publishes if each.label == label}

    def finding(self, requirement: str, rule: str, message: str, at: Operation | None) -> Finding:
        """A violation that shows when the operation was answered."""
        shows = at is not None and not self.is_after_the_run(at) and at.ended > 0
        return Finding(
            kind=FindingKind.VIOLATION,
            requirement=requirement,
            rule=rule,
            message=message,
            step=at.ended - 1 if shows and at is not None else -1,
        )


def precedes(first: Operation, second: Operation) -> bool:
    """Whether the first was over before the second began."""
    if not first.is_answered:
        return False
    if first.ended != second.began:
        return first.ended < second.began
    return first.began < second.ended or second.ended < 0 or first.index < second.index


def may_remove(collect: Operation) -> bool:
    """Whether a collect may have evicted something."""
    return not isinstance(collect.answer, Skipped) and not collect.args.get("dry_run")


def history_of(
    run: Run,
    scenario: Scenario,
    payloads: Payloads,
    capabilities: frozenset[Capability],
    aftermath: Aftermath = NO_AFTERMATH,
    *,
    waited_out: bool = False,
    collects: bool = True,
    uses_locks: bool = True,
) -> History:
    """Put a run and its aftermath in order."""
    done, count = len(run.steps), len(run.operations)
    for number, operation in enumerate(run.operations):
        assert operation.index == number, "operations are numbered from 0, in their order"
    after = (
        replace(
            each,
            index=count + number,
            worker=f"after {each.worker}",
            began=done,
            ended=done if each.is_answered else each.ended,
        )
        for number, each in enumerate(aftermath.operations)
    )
    operations = (*run.operations, *after)
    holdings, publishes = handles_of(operations, payloads)
    return History(
        run=run,
        scenario=scenario,
        payloads=payloads,
        capabilities=capabilities,
        operations=operations,
        holdings=tuple(holdings),
        publishes=tuple(publishes),
        lost_bytes=aftermath.lost_bytes,
        debris=aftermath.debris,
        waited_out=waited_out,
        collects=collects,
        uses_locks=uses_locks,
    )


def handles_of(
    operations: tuple[Operation, ...], payloads: Payloads
) -> tuple[list[Holding], list[Publish]]:
    """Follow each worker's handles; a backend may use the text of a released one again."""
    staged: dict[tuple[str, object], Operation] = {}
    held: dict[tuple[str, object], _Open] = {}
    opened: list[_Open] = []
    publishes: list[Publish] = []
    for operation in operations:
        used = (operation.worker, operation.args.get("handle"))
        label, writer = payloads.label(operation.args.get("key")), ""
        if operation.verb is Verb.PUBLISH:
            stage = staged.get(used)
            label = None if stage is None else payloads.label(stage.args.get("key"))
            writer = operation.tag or ("" if stage is None else stage.tag)
            publishes.append(Publish(operation=operation, label=label, writer=writer))
        elif operation.verb is Verb.READ and used in held:
            held[used].reads.append(operation)
        elif operation.verb is Verb.RELEASE and used in held:
            held.pop(used).release = operation
        answer = operation.answer
        if isinstance(answer, Staged):
            staged[operation.worker, answer.handle] = operation
        for given, inputs in _handed_out(operation):
            handle = _Open(operation, given, label, writer, inputs)
            held[operation.worker, given.handle] = handle
            opened.append(handle)
    return [_closed(each) for each in opened], publishes


def _handed_out(operation: Operation) -> Iterator[tuple[Handed, object]]:
    """What an answer hands out, with the inputs of what was extracted."""
    answer, requests = operation.answer, operation.args.get("requests")
    if isinstance(answer, _HANDED_OUT):
        yield answer, operation.args.get("inputs")
    elif isinstance(answer, Rendered) and isinstance(requests, list):
        for item, inputs in zip(answer.items, requests, strict=False):
            if isinstance(item, Extracted):
                yield item, inputs


def _closed(handle: _Open) -> Holding:
    return Holding(
        source=handle.source,
        answer=handle.answer,
        label=handle.label,
        writer=handle.writer,
        reads=tuple(handle.reads),
        release=handle.release,
        inputs=handle.inputs,
    )
