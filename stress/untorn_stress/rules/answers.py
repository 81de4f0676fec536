"""Answers (P5, P7, R1, R6, G2, D2): no verb may end in an error, whatever calls fail.

Rule 1: where nothing went wrong the row is the verb's own; where a call was made to fail it is D2:
        a lookup misses then, a read says damaged, a publish unpublished, a collect skipped.
Rule 2: who is told unpublished for an errno is told which, and at which step.

What follows a death may not either: then it is C1 for who reads and C2 for who writes, or C4.

Not flagged: what only the harness says (died, deadline, not a message): that is no answer of the
backend; of an extraction that met a fault, the clear error of its decoder; unsupported, of a verb
that was not declared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from untorn_conformance.backend import VERB_CAPABILITY, Unpublished, UnpublishedReason, Verb
from untorn_conformance.errors import ERROR_KINDS, BackendError, ErrorCode

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

OF_THE_DECODER: Final = frozenset({ErrorCode.DECODER_FAILED, ErrorCode.BAD_CLIP})


_READING: Final = frozenset({Verb.LOOKUP, Verb.READ, Verb.RELEASE})


def judge_answers(history: History) -> Iterator[Finding]:
    """Judge every error, and every refusal to publish."""
    for operation in history.operations:
        answer = operation.answer
        if isinstance(answer, BackendError) and not _is_excused(history, operation, answer):
            message = f"{operation.verb} of {operation.worker} ended in an error: {answer}"
            yield history.finding(_row(history, operation), "error", message, operation)
        elif history.faulted and isinstance(answer, Unpublished) and _lacks_a_reason(answer):
            message = f"{operation.worker} was told unpublished, and not for which errno where"
            yield history.finding("P5", "no-reason", message, operation)


def _row(history: History, operation: Operation) -> str:
    if history.faulted:
        return "D2"
    if history.killed_at is None or not history.is_after_the_run(operation):
        return _OWED.get(operation.verb, "L2")
    return history.row_of_a_crash("C1" if operation.verb in _READING else "C2")


def _lacks_a_reason(answer: Unpublished) -> bool:
    return answer.reason is UnpublishedReason.ERRNO and not (answer.errno and answer.step)


def _is_excused(history: History, operation: Operation, error: BackendError) -> bool:
    if error.code is ErrorCode.UNSUPPORTED:
        needed = VERB_CAPABILITY.get(operation.verb)
        return needed is not None and needed not in history.capabilities
    met_a_fault = operation.verb is Verb.EXTRACT and operation.faults
    return ERROR_KINDS[error.code].harness_only or (
        bool(met_a_fault) and error.code in OF_THE_DECODER
    )
