"""Untrusted (N1): where locks do nothing or fail, collect and repair are off and say so.

That P1 to P3 hold all the same is judged by ``whole`` and ``winner``.

Not flagged: a backend that never asked for a lock, since it trusts none; what the aftermath does,
whose locks are real; anything that is not a collect, or a publish over damage.
"""

from __future__ import annotations

from collections.abc import Iterator

from untorn_conformance.backend import (
    Adopted,
    Collected,
    Published,
    Unpublished,
    UnpublishedReason,
)

from untorn_stress.rules.history import History
from untorn_stress.run import Finding
from untorn_stress.scenario import KeyState


def judge_untrusted(history: History) -> Iterator[Finding]:
    """Judge every collect, and every publish over damage."""
    if history.trusts_locks or not history.uses_locks:
        return
    for operation in history.run.operations:
        if isinstance(operation.answer, Collected):
            message = f"{operation.worker} collected, though locks are not to be trusted"
            yield history.finding("N1", "collected", message, operation)
    for publish in history.publishes:
        answer = publish.operation.answer
        if history.is_after_the_run(publish.operation):
            continue
        if history.start(publish.label) is not KeyState.DAMAGED:
            continue
        suspended = isinstance(answer, Unpublished) and answer.reason is UnpublishedReason.UNTRUSTED
        if isinstance(answer, Published | Adopted | Unpublished) and not suspended:
            told = type(answer).__name__.lower()
            message = f"{publish.writer} was told {told} over damage, not unpublished(untrusted)"
            yield history.finding("N1", "repaired", message, publish.operation)
