"""Answers (P5, P7, R1, R6, G2): nothing went wrong, so no verb may end in an error.

What follows a death may not either: then it is C1 for who reads and C2 for who writes, or C4.

Not flagged: what only the harness says (died, deadline, not a message): that is no answer of the
backend; and errors that a fault may have caused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from untorn_conformance.backend import Verb
from untorn_conformance.errors import ERROR_KINDS, BackendError

from untorn_stress.rules.history import History
from untorn_stress.run import Finding, Operation

_OWED: Final[Mapping[Verb, str]] = MappingProxyType(
    {
        Verb.STAGE: "P5",
        Verb.PUBLISH: "P5",
        Verb.ABANDON: "P5",
        Verb.LOOKUP: "R6",
        Verb.READ: "R1",
        Verb.RELEASE: "R1",
        Verb.COLLECT: "G2",
        Verb.EXTRACT: "P7",
    }
)
"""The row that says what each verb answers instead of an error."""


_READING: Final = frozenset({Verb.LOOKUP, Verb.READ, Verb.RELEASE})


def judge_answers(history: History) -> Iterator[Finding]:
    """Judge every error."""
    if history.faulted:
        return
    for operation in history.operations:
        error = operation.answer
        if isinstance(error, BackendError) and not ERROR_KINDS[error.code].harness_only:
            requirement = _row(history, operation)
            message = f"{operation.verb} of {operation.worker} ended in an error: {error}"
            yield history.finding(requirement, "error", message, operation)


def _row(history: History, operation: Operation) -> str:
    if history.killed_at is None or not history.is_after_the_run(operation):
        return _OWED.get(operation.verb, "L2")
    return history.row_of_a_crash("C1" if operation.verb in _READING else "C2")
