"""From pytest's words for a phase of a case to the law's, and back to what is shown."""

from __future__ import annotations

import pytest

from untorn_conformance import outcomes
from untorn_conformance.baseline import is_stale
from untorn_conformance.cases import UNKNOWN_PREFIX, Case
from untorn_conformance.results import PROPERTY, PhaseReport
from untorn_conformance.verdict import Measurement, Outcome

_DETAIL_CHARACTERS = 4000


def classify(
    case: Case,
    call: pytest.CallInfo[None],
    report: pytest.TestReport,
    measurements: tuple[Measurement, ...],
) -> PhaseReport:
    """Say what a phase of the case came to."""
    in_call = report.when == "call"
    outcome = Outcome.PASS if in_call else None
    detail = ""
    if call.excinfo is not None:
        error = call.excinfo.value
        outcome = outcomes.of_exception(error, in_call=in_call)
        detail = outcomes.explain(error, outcome, call.excinfo.exconly(tryshort=True))
    if case.fails_with and in_call:
        outcome, detail = _of_canary(case, outcome, detail)
    return PhaseReport(
        case=case,
        phase=report.when or "",
        outcome=outcome,
        detail=_cut(detail),
        duration_s=call.duration,
        measurements=measurements,
    )


def _of_canary(case: Case, outcome: Outcome | None, detail: str) -> tuple[Outcome, str]:
    """What it means for the run how a canary ended: only its own failure speaks for the harness."""
    if outcome is Outcome.FAIL and case.fails_with in detail:
        return Outcome.PASS, "a broken cache failed, as it must"
    if outcome is Outcome.UNKNOWN:
        return outcome, detail
    ended = f"{outcome}: {detail}" if detail else f"{outcome}"
    return Outcome.HARNESS_ERROR, f"a cache that is known to be broken was not found out: {ended}"


def _cut(detail: str) -> str:
    """Take the middle out of what is too long: its last line may say how to see it again."""
    if len(detail) <= _DETAIL_CHARACTERS:
        return detail
    half = _DETAIL_CHARACTERS // 2
    return f"{detail[:half]}\n...\n{detail[-half:]}"


def attach(
    phase: PhaseReport, report: pytest.TestReport, item: pytest.Item, *, require_evidence: bool
) -> None:
    """Let the report carry the phase, and show its outcome where pytest has another word for it.

    UNKNOWN is a skip, or a failure if so asked; a known deviation is a skip; a stale one an error.
    A canary that failed as it must is a pass.
    """
    report.user_properties.append((PROPERTY, phase.to_text()))
    if phase.case.fails_with and phase.phase == "call":
        report.outcome = "failed" if phase.outcome is Outcome.HARNESS_ERROR else "passed"
        report.longrepr = phase.detail if report.failed else None
    elif phase.outcome is Outcome.DEVIATION:
        _show_as_skip(report, item, f"{phase.outcome}: {phase.detail.splitlines()[0]}")
    elif is_stale(phase.detail):
        report.outcome = "failed"
        report.longrepr = phase.detail
    if phase.outcome is not Outcome.UNKNOWN or phase.phase == "teardown":
        return
    if require_evidence:
        report.outcome = "failed"
        report.longrepr = f"--require-evidence: {UNKNOWN_PREFIX}{phase.detail}"
        if hasattr(report, "wasxfail"):
            del report.wasxfail
    elif not hasattr(report, "wasxfail"):
        _show_as_skip(report, item, UNKNOWN_PREFIX + phase.detail)


def _show_as_skip(report: pytest.TestReport, item: pytest.Item, reason: str) -> None:
    report.outcome = "skipped"
    path, line, _ = item.location
    report.longrepr = (path, (line or 0) + 1, reason)


def carried_by(report: pytest.TestReport) -> PhaseReport | None:
    """Return the phase that a report carries, if it is that of a case."""
    for name, value in report.user_properties:
        if name == PROPERTY:
            return PhaseReport.from_text(str(value))
    return None
