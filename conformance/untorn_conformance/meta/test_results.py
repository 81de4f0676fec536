from __future__ import annotations

from pathlib import Path

import pytest
from untorn_conformance.cases import Case
from untorn_conformance.results import Manifest, PhaseReport, Results
from untorn_conformance.verdict import (
    CaseResult,
    Evidence,
    EvidenceClass,
    Measurement,
    Outcome,
)

CASE = Case(
    id="P1.whole",
    requirements=("P1", "R1"),
    evidence=Evidence(kind=EvidenceClass.SAMPLED, detail="one publish"),
    nodeid="test_publish.py::test_P1_whole",
)
OTHER = Case(
    id="P2.one_winner",
    requirements=("P2",),
    evidence=Evidence(kind=EvidenceClass.EXHAUSTIVE, detail="two writers"),
    nodeid="test_publish.py::test_P2_one_winner",
)
BOTH = Manifest(cases=(CASE, OTHER))


def phase(name: str, outcome: Outcome | None = None, detail: str = "") -> PhaseReport:
    return PhaseReport(case=CASE, phase=name, outcome=outcome, detail=detail, duration_s=1.0)


def result_of(*phases: PhaseReport) -> CaseResult:
    results = Results()
    for each in phases:
        results.add(each)
    (result,) = results.all(Manifest(cases=(CASE,)))
    return result


def test_a_phase_crosses_processes_as_text() -> None:
    taken = Measurement(name="n", numbers={"took_s": 0.5})
    report = PhaseReport(
        case=CASE, phase="call", outcome=Outcome.FAIL, detail="\udcff", measurements=(taken,)
    )
    assert PhaseReport.from_text(report.to_text()) == report


def test_a_result_is_that_of_the_call_and_lasts_as_long_as_all_phases() -> None:
    result = result_of(phase("setup"), phase("call", Outcome.PASS), phase("teardown"))
    assert (result.outcome, result.duration_s) == (Outcome.PASS, 3.0)


@pytest.mark.parametrize(
    ("call", "teardown", "outcome", "detail"),
    [
        (Outcome.PASS, Outcome.HARNESS_ERROR, Outcome.HARNESS_ERROR, "teardown"),
        (Outcome.FAIL, Outcome.UNKNOWN, Outcome.FAIL, "call"),
        (Outcome.UNKNOWN, None, Outcome.UNKNOWN, "call"),
    ],
)
def test_the_worst_phase_counts(
    call: Outcome, teardown: Outcome | None, outcome: Outcome, detail: str
) -> None:
    result = result_of(
        phase("setup"), phase("call", call, "call"), phase("teardown", teardown, "teardown")
    )
    assert (result.outcome, result.detail) == (outcome, detail)


def test_a_case_whose_setup_ends_it_has_the_setup_s_outcome() -> None:
    result = result_of(phase("setup", Outcome.NOT_APPLICABLE), phase("teardown"))
    assert result.outcome is Outcome.NOT_APPLICABLE


def test_a_result_does_not_count_before_the_case_is_torn_down() -> None:
    results = Results()
    results.add(phase("setup"))
    results.add(phase("call", Outcome.PASS))
    assert results.all(BOTH) == ()


def test_a_crash_takes_even_a_finished_result_away() -> None:
    results = Results()
    results.add(phase("call", Outcome.PASS))
    results.add(phase("teardown"))
    results.note_crash(CASE.nodeid)
    (result,) = results.all(BOTH)
    assert result.outcome is Outcome.NOT_RUN


def test_only_a_judgement_rests_on_the_case_s_evidence() -> None:
    passed = result_of(phase("call", Outcome.PASS), phase("teardown"))
    unknown = result_of(phase("call", Outcome.UNKNOWN, "why\nmore"), phase("teardown"))
    assert passed.evidence == CASE.evidence
    assert unknown.evidence == Evidence(kind=EvidenceClass.UNTESTED, detail="why")


def test_what_a_filter_left_out_is_untested() -> None:
    (result,) = Results().all(Manifest(filtered=(CASE,)))
    assert result.outcome is Outcome.UNTESTED


def test_manifests_of_several_processes_are_one(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    BOTH.write(folder, "gw0")
    BOTH.write(folder, "gw1")
    assert Manifest.read_all(folder) == BOTH


def test_an_unfinished_manifest_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "gw0.unfinished").write_text("{")
    assert not Manifest.read_all(tmp_path)


def test_a_manifest_of_nothing_but_left_out_cases_is_not_empty() -> None:
    assert Manifest(unselected=(CASE,))
    assert not Manifest()
