"""What an exception says about the backend: whose fault it is, and whether it is certain.

Rule 1: a failed assertion of a case is the backend's failure; of a fixture, it is ours.
Rule 2: an error that the backend answers and that the case did not expect is a failure.
Rule 3: a death that nobody asked for is a failure; one that we caused and did not expect is our
        error.
Rule 4: a deadline that passed is UNKNOWN, and so is every skip that gives no other reason.
Rule 5: an answer that is no message of the protocol is the adapter's fault: a harness error.
Rule 6: any other exception is ours.
"""

from __future__ import annotations

import pytest
from untorn_stress.worker import WorkerDiedError

from untorn_conformance.cases import NOT_APPLICABLE_PREFIX, UNKNOWN_PREFIX
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.verdict import Outcome

_TIMEOUT_MARK = "from pytest-timeout"


def of_exception(error: BaseException, *, in_call: bool) -> Outcome:
    """Classify what ended a phase of a case; ``in_call`` is False for its set-up and tear-down."""
    if isinstance(error, pytest.skip.Exception):
        is_declined = str(error).startswith(NOT_APPLICABLE_PREFIX)
        return Outcome.NOT_APPLICABLE if is_declined else Outcome.UNKNOWN
    if isinstance(error, pytest.xfail.Exception):
        return Outcome.UNKNOWN
    if isinstance(error, BackendError):
        return _of_backend_error(error)
    if isinstance(error, BaseExceptionGroup):
        return _of_group(error, in_call=in_call)
    if isinstance(error, AssertionError | pytest.fail.Exception) and in_call:
        return Outcome.UNKNOWN if _TIMEOUT_MARK in str(error) else Outcome.FAIL
    return Outcome.HARNESS_ERROR


def explain(error: BaseException, outcome: Outcome, text: str) -> str:
    """Put into words why the exception, printed as ``text``, led to the outcome."""
    if isinstance(error, pytest.skip.Exception):
        return str(error).removeprefix(UNKNOWN_PREFIX).removeprefix(NOT_APPLICABLE_PREFIX)
    if isinstance(error, BackendError):
        return {
            Outcome.FAIL: f"an error that the case did not expect: {text}",
            Outcome.UNKNOWN: f"what happened is not known: {text}",
        }.get(outcome, text)
    return text


def _of_backend_error(error: BackendError) -> Outcome:
    if isinstance(error, WorkerDiedError) and error.asked:
        return Outcome.HARNESS_ERROR
    return {
        ErrorCode.DEADLINE: Outcome.UNKNOWN,
        ErrorCode.PROTOCOL: Outcome.HARNESS_ERROR,
    }.get(error.code, Outcome.FAIL)


def _of_group(group: BaseExceptionGroup[BaseException], *, in_call: bool) -> Outcome:
    """Classify several at once: a failure that was seen once stays a failure."""
    outcomes = {of_exception(each, in_call=in_call) for each in group.exceptions}
    order = (Outcome.FAIL, Outcome.HARNESS_ERROR, Outcome.UNKNOWN, Outcome.NOT_APPLICABLE)
    return next(outcome for outcome in order if outcome in outcomes)
