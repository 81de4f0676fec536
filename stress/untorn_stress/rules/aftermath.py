"""Aftermath (C2, C4, P4, L2): when a run is over, every key can be published and read.

Rule 1: the fresh writer is told published or adopted.
Rule 2: the lookup that follows hits.
Rule 3: every verb is answered: a fresh worker dies of what it finds, since nobody kills it.
Rule 4: where somebody was killed that is C2, or C4 if he had begun from what a crash left; else L2,
        or P4 for a key that was damaged.

That the first lookup misses or hits a whole entry is judged by ``whole`` and ``held``, and that it
finds what was acknowledged by ``found``. Faults are over by then and excuse nothing.

Not flagged: ``too-large``, which is the backend's own limit; ``untrusted`` over damage, where the
file system may be such a one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from untorn_conformance.backend import (
    Adopted,
    Miss,
    Published,
    Unpublished,
    UnpublishedReason,
)

from untorn_stress.rules.history import History, Publish, precedes
from untorn_stress.run import Finding, FindingKind
from untorn_stress.scenario import KeyState


def judge_aftermath(history: History) -> Iterator[Finding]:
    """Judge the fresh writer of each key, what the reader after it saw, and who died."""
    for operation in filter(history.is_after_the_run, history.operations):
        if not operation.is_answered:
            message = f"the run is over, and a fresh worker died in {operation.verb}"
            finding = history.finding(_row(history, "L2"), "died", message, operation)
            yield replace(finding, kind=FindingKind.DIED)
    for publish in history.publishes:
        if history.is_after_the_run(publish.operation):
            yield from _judge_publish(history, publish)


def _judge_publish(history: History, publish: Publish) -> Iterator[Finding]:
    answer, label = publish.operation.answer, publish.label
    damaged = history.start(label) is KeyState.DAMAGED
    if isinstance(answer, Unpublished):
        if answer.reason is UnpublishedReason.TOO_LARGE:
            return
        may_be_torn = history.start(label) in {KeyState.DAMAGED, KeyState.CRASHED, KeyState.UNKNOWN}
        if answer.reason is UnpublishedReason.UNTRUSTED and may_be_torn:
            return
        why = f"{answer.reason} {answer.errno or ''}".strip()
        message = f"the run is over, and key {label} cannot be published: {why}"
        requirement = _row(history, "P4" if damaged else "L2")
        yield history.finding(requirement, "stuck", message, publish.operation)
    elif isinstance(answer, Published | Adopted):
        for lookup in history.operations:
            same = history.payloads.label(lookup.args.get("key")) == label
            later = same and precedes(publish.operation, lookup)
            if later and isinstance(lookup.answer, Miss):
                message = f"key {label} was published, and missed: {lookup.answer.reason}"
                yield history.finding(_row(history, "L2"), "not-read", message, lookup)


def _row(history: History, undisturbed: str) -> str:
    return undisturbed if history.killed_at is None else history.row_of_a_crash("C2")
