"""Statistics (G2, G7, G8): collectors count what left, once, and one of them does the work.

Rule 1: all collects together evicted no more entries than were ever there; where the aftermath
        shows what is left, exactly those that are gone.
Rule 2: where the trees were weighed and nobody wrote, the freed bytes are what left.
Rule 3: of several collectors one is not skipped.
Rule 4: a lone collector that nobody writes beside says what kept it over budget, or left nothing.

Not flagged: counts in a tree that a crash left behind, or of an entry that was harmed; runs in
which a collect or a publish has no answer; skips on a file system where collect is off.
"""

from __future__ import annotations

from collections.abc import Iterator

from untorn_conformance.backend import (
    Adopted,
    Collected,
    Hit,
    Miss,
    MissReason,
    Published,
    Unpublished,
    Verb,
)

from untorn_stress.rules.history import History
from untorn_stress.rules.winner import exceeds
from untorn_stress.run import Finding, Operation
from untorn_stress.scenario import KeyState


def judge_collects(history: History) -> Iterator[Finding]:
    """Judge the answers of all collects of a run, together."""
    asked = [each for each in history.operations if each.verb is Verb.COLLECT]
    if not asked or not history.all_collects_answered or not history.knows_its_start:
        return
    last = max(asked, key=lambda each: (each.ended, each.index))
    if history.collected:
        yield from _entries(history, last)
        yield from _bytes(history, last)
        yield from _budget(history, last)
    elif len(asked) > 1 and history.trusts_locks and history.collects and not history.faulted:
        yield history.finding("G8", "all-skipped", "every collector was skipped", last)


def _entries(history: History, last: Operation) -> Iterator[Finding]:
    written = _written(history)
    if not all(isinstance(each.answer, Published | Adopted | Unpublished) for each in written):
        return
    evicted = sum(each.evicted for each in history.collected)
    there = _at_first(history) + sum(isinstance(each.answer, Published) for each in written)
    left = _left_at_the_end(history)
    requirement = "G8" if len(history.collected) > 1 else "G7"
    gone = there if left is None else there - left
    if evicted > gone:
        message = f"{evicted} evicted entries were counted, and no more than {gone} left"
        yield history.finding(requirement, "counted-too-much", message, last)
    elif left is not None and evicted < gone and not _somebody_replaced(history):
        message = f"{evicted} evicted entries were counted, and {gone} left"
        yield history.finding("G7", "not-counted", message, last)


def _at_first(history: History) -> int:
    return sum(history.start(each) is not KeyState.ABSENT for each in history.labels)


def _written(history: History) -> list[Operation]:
    """The publishes of the run itself."""
    asked = (each.operation for each in history.publishes)
    return [each for each in asked if not history.is_after_the_run(each)]


def _left_at_the_end(history: History) -> int | None:
    """How many entries the aftermath's first look at each key found; None where it cannot tell."""
    labels = history.labels
    if any(history.start(label) is KeyState.DAMAGED for label in labels):
        return None  # a repair takes a thing away that is no entry, and counts as no eviction
    looks = [_first_look(history, label) for label in labels]
    if not looks or None in looks:
        return None
    return sum(bool(each) for each in looks)


def _first_look(history: History, label: str) -> bool | None:
    """Whether the aftermath found the key; None if it wrote it first, or learned neither."""
    published = [each.operation for each in history.publishes if each.label == label]
    for operation in filter(history.is_after_the_run, history.operations):
        if operation in published:
            return None
        key = operation.args.get("key")
        if operation.verb is Verb.LOOKUP and history.payloads.label(key) == label:
            answer = operation.answer
            absent = isinstance(answer, Miss) and answer.reason is MissReason.ABSENT
            return True if isinstance(answer, Hit) else False if absent else None
    return None


def _somebody_replaced(history: History) -> bool:
    return any(exceeds(history, label) > 0 for label in history.labels)


def _bytes(history: History, last: Operation) -> Iterator[Finding]:
    harmed = any(history.start(label) is KeyState.DAMAGED for label in history.labels)
    if history.lost_bytes is None or harmed or _written(history):
        return  # who looks at a harmed entry may take it away, and no writer leaves only what was
    freed = sum(each.freed_bytes for each in history.collected)
    if freed != history.lost_bytes:
        requirement = "G8" if len(history.collected) > 1 else "G7"
        message = f"{freed} freed bytes were counted, and {history.lost_bytes} left"
        yield history.finding(requirement, "bytes", message, last)


def _budget(history: History, last: Operation) -> Iterator[Finding]:
    answer = last.answer
    alone = sum(each.verb is Verb.COLLECT for each in history.operations) == 1
    if not alone or _written(history) or history.faulted or not isinstance(answer, Collected):
        return
    if answer.over_budget_bytes and not answer.protected:
        message = f"over budget by {answer.over_budget_bytes} bytes, and nothing protected them"
        yield history.finding("G2", "unexplained", message, last)
    elif not answer.over_budget_bytes and _left_at_the_end(history):
        message = "told to evict everything and not over budget, and an entry is still there"
        yield history.finding("G2", "not-evicted", message, last)
