"""One winner (P2, P3): between two removals one writer is told published, and its entry stays.

With e entries evicted in all, at most e + 1 publishes of a key are told published, e of them if the
key was complete at the start; and no more writers' entries were ever served than could be there in
turn. If nobody was told busy, somebody was told published where nothing was in the place.

Not flagged: ``busy``; ``too-large``; ``untrusted`` over damage; anything that a fault excuses; a
refusal with an errno that says "occupied", which names the winner.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from untorn_conformance.backend import (
    Adopted,
    Hit,
    Published,
    Unpublished,
    UnpublishedReason,
)

from untorn_stress.payloads import LABELS
from untorn_stress.rules.history import History, Publish
from untorn_stress.run import Finding
from untorn_stress.scenario import KeyState, Locks

_OCCUPIED: Final = frozenset({"EEXIST", "ENOTEMPTY", "ENOTDIR", "EISDIR"})


def judge_winner(history: History) -> Iterator[Finding]:
    """Judge the publishes of each key."""
    for label in LABELS:
        publishes = [each for each in history.publishes if each.label == label]
        if history.all_collects_answered:
            yield from _at_most(history, label, publishes)
            yield from _replaced(history, label)
        yield from _at_least(history, label, publishes)
    yield from _refused(history)


def exceeds(history: History, label: str) -> int:
    """How many more publishes were told published than removals allow; not above 0 is right."""
    told = sum(
        isinstance(each.operation.answer, Published)
        for each in history.publishes
        if each.label == label
    )
    allowed = _evicted(history) + (history.start(label) is not KeyState.COMPLETE)
    return told - allowed


def _evicted(history: History) -> int:
    return sum(each.evicted for each in history.collected)


def _at_most(history: History, label: str, publishes: list[Publish]) -> Iterator[Finding]:
    if exceeds(history, label) <= 0:
        return
    told = [each for each in publishes if isinstance(each.operation.answer, Published)]
    last = max((each.operation for each in told), key=lambda each: (each.ended, each.index))
    evicted = _evicted(history)
    was_there = history.start(label) is KeyState.COMPLETE
    writers = ", ".join(each.writer for each in told)
    message = f"told published: {writers}; entries evicted: {evicted}"
    if was_there:
        message += "; the key was complete at the start"
    requirement = "P3" if was_there and not evicted else "P2"
    yield history.finding(requirement, "winners", message, last)


def _replaced(history: History, label: str) -> Iterator[Finding]:
    """Every change of the writer whose entry is served needs a removal, or damage at the start."""
    harmed = history.start(label) in {KeyState.DAMAGED, KeyState.CRASHED, KeyState.UNKNOWN}
    allowed = _evicted(history) + 1 + harmed
    seen: set[str] = set()
    for holding in history.of(Hit, Adopted, Published):
        if holding.label != label:
            continue
        seen |= history.writers_read(holding)
        if len(seen) > allowed:
            message = (
                f"entries of {', '.join(sorted(seen))} were served; "
                f"entries evicted: {allowed - 1 - harmed}"
            )
            at = holding.reads[-1] if holding.reads else holding.source
            yield history.finding("P3", "replaced", message, at)
            return


def _at_least(history: History, label: str, publishes: list[Publish]) -> Iterator[Finding]:
    """Somebody is told published where nothing complete was."""
    start = history.start(label)
    if history.faulted or start not in {KeyState.ABSENT, KeyState.DAMAGED}:
        return
    if history.scenario.locks not in {Locks.REAL, Locks.NOOP}:
        return
    asked = [each.operation for each in publishes if not history.is_after_the_run(each.operation)]
    answers = [each.answer for each in asked]
    if not answers or not all(isinstance(each, Adopted | Unpublished) for each in answers):
        return
    excuses = {UnpublishedReason.BUSY, UnpublishedReason.TOO_LARGE}
    if start is KeyState.DAMAGED:
        excuses.add(UnpublishedReason.UNTRUSTED)
    if any(isinstance(each, Unpublished) and each.reason in excuses for each in answers):
        return
    told = ", ".join(_said(each) for each in answers)
    message = f"the key was {start} at the start, and nobody was told published: {told}"
    last = max(asked, key=lambda each: (each.ended, each.index))
    yield history.finding("P2", "nobody", message, last)


def _refused(history: History) -> Iterator[Finding]:
    """Nothing made a call fail, so a publish has no errno to answer, beside "occupied"."""
    if history.faulted or not history.trusts_locks:
        return
    for holding in history.of(Unpublished):
        answer = holding.answer
        assert isinstance(answer, Unpublished)
        if answer.reason is not UnpublishedReason.ERRNO or answer.errno in _OCCUPIED:
            continue
        if not history.is_after_the_run(holding.source):
            message = f"no fault was injected, and {holding.writer} was told {_said(answer)}"
            yield history.finding("P2", "refused", message, holding.source)


def _said(answer: object) -> str:
    if isinstance(answer, Unpublished):
        why = [answer.reason.value, answer.errno, answer.step]
        return f"unpublished({' '.join(each for each in why if each)})"
    return type(answer).__name__.lower()
