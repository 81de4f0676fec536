from __future__ import annotations

from collections.abc import Callable

import pytest
from untorn_conformance import cases, outcomes
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.verdict import Outcome
from untorn_stress.worker import WorkerDiedError


def caught(raiser: Callable[[], object]) -> BaseException:
    try:
        raiser()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


SKIPS = [
    (caught(lambda: cases.unknown("why")), Outcome.UNKNOWN),
    (caught(lambda: cases.not_applicable("why")), Outcome.NOT_APPLICABLE),
    (caught(lambda: pytest.skip("why")), Outcome.UNKNOWN),
    (caught(lambda: pytest.xfail("why")), Outcome.UNKNOWN),
]
ERRORS = [
    (WorkerDiedError("unasked", asked=False), Outcome.FAIL),
    (WorkerDiedError("asked", asked=True), Outcome.HARNESS_ERROR),
    (BackendError(ErrorCode.DEADLINE, "late"), Outcome.UNKNOWN),
    (BackendError(ErrorCode.PROTOCOL, "garbage"), Outcome.HARNESS_ERROR),
    (BackendError(ErrorCode.INTERNAL, "a surprise"), Outcome.FAIL),
    (BackendError(ErrorCode.UNSUPPORTED, "an overclaim"), Outcome.FAIL),
    (KeyError("ours"), Outcome.HARNESS_ERROR),
    (OSError("ours"), Outcome.HARNESS_ERROR),
]
JUDGEMENTS = [
    (AssertionError("seen"), Outcome.FAIL),
    (caught(lambda: pytest.fail("seen")), Outcome.FAIL),
    (caught(lambda: pytest.fail("Timeout (>600.0s) from pytest-timeout.")), Outcome.UNKNOWN),
]


@pytest.mark.parametrize(("error", "outcome"), [*SKIPS, *ERRORS, *JUDGEMENTS])
def test_what_ends_a_case_has_its_word(error: BaseException, outcome: Outcome) -> None:
    assert outcomes.of_exception(error, in_call=True) is outcome


@pytest.mark.parametrize(("error", "outcome"), [*SKIPS, *ERRORS])
def test_the_same_words_hold_for_fixtures(error: BaseException, outcome: Outcome) -> None:
    assert outcomes.of_exception(error, in_call=False) is outcome


@pytest.mark.parametrize("error", [error for error, _ in JUDGEMENTS])
def test_a_failed_assertion_of_a_fixture_is_our_error(error: BaseException) -> None:
    assert outcomes.of_exception(error, in_call=False) is Outcome.HARNESS_ERROR


def test_a_failure_among_several_errors_counts() -> None:
    group = ExceptionGroup("flaky", [KeyError("ours"), ExceptionGroup("", [AssertionError()])])
    assert outcomes.of_exception(group, in_call=True) is Outcome.FAIL


def test_without_a_failure_the_worst_of_several_counts() -> None:
    group = ExceptionGroup("several", [BackendError(ErrorCode.DEADLINE, ""), KeyError("ours")])
    assert outcomes.of_exception(group, in_call=True) is Outcome.HARNESS_ERROR


def test_a_reason_is_given_without_its_prefix() -> None:
    for raiser in (cases.unknown, cases.not_applicable):
        error = caught(lambda raiser=raiser: raiser("why"))  # type: ignore[misc]
        assert outcomes.explain(error, Outcome.UNKNOWN, str(error)) == "why"
