"""The verdict, judged on results of a few lines: what is not known is never a pass."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from untorn_conformance.contract import REQUIREMENTS, Capability, Requirement, select
from untorn_conformance.verdict import (
    EXIT_CODES,
    MEANINGS,
    CaseResult,
    Evidence,
    EvidenceClass,
    Measurement,
    Outcome,
    RequirementResult,
    Verdict,
    VerdictWord,
    from_json,
    judge,
    to_json,
)

SAMPLED = Evidence(kind=EvidenceClass.SAMPLED, detail="seed 7, 100 rounds")
PROVENANCE = {"backend": "toy", "command": "pytest conformance/"}


def case(name: str, outcome: Outcome, *requirements: str, detail: str = "") -> CaseResult:
    rows = requirements or (name.partition(".")[0],)
    return CaseResult(
        case=name, requirements=rows, outcome=outcome, evidence=SAMPLED, detail=detail
    )


def judged(
    *cases: CaseResult,
    rows: str = "P",
    capabilities: Sequence[Capability] = (),
    expected: Mapping[str, Sequence[str]] | None = None,
) -> Verdict:
    return judge(
        cases,
        capabilities=frozenset(capabilities),
        selected=select([rows]),
        expected_cases=expected or {},
    )


def row(verdict: Verdict, name: str) -> RequirementResult:
    return next(result for result in verdict.requirements if result.id == name)


def everything_passes() -> list[CaseResult]:
    return [case(f"{row.id}.all", Outcome.PASS) for row in REQUIREMENTS.values()]


@pytest.fixture
def complete_law(monkeypatch: pytest.MonkeyPatch) -> Sequence[Requirement]:
    """The contract of a release that has a case for every row."""
    rows = {name: replace(row, untested="") for name, row in REQUIREMENTS.items()}
    monkeypatch.setattr("untorn_conformance.verdict.REQUIREMENTS", rows)
    return tuple(rows.values())


def judged_whole(law: Sequence[Requirement], cases: Sequence[CaseResult]) -> Verdict:
    return judge(cases, capabilities=frozenset(Capability), selected=law, expected_cases={})


def test_conformant_takes_a_pass_of_every_requirement(complete_law: Sequence[Requirement]) -> None:
    assert judged_whole(complete_law, everything_passes()).word is VerdictWord.CONFORMANT


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (Outcome.PASS, VerdictWord.CONFORMANT),
        (Outcome.FAIL, VerdictWord.NON_CONFORMANT),
        (Outcome.UNKNOWN, VerdictWord.PARTIAL),
        (Outcome.UNTESTED, VerdictWord.PARTIAL),
        (Outcome.DEVIATION, VerdictWord.PARTIAL),
        (Outcome.BLOCKED, VerdictWord.PARTIAL),
        (Outcome.NOT_APPLICABLE, VerdictWord.PARTIAL),
        (Outcome.NOT_RUN, VerdictWord.INVALID),
        (Outcome.HARNESS_ERROR, VerdictWord.INVALID),
    ],
)
def test_one_case_that_did_not_pass_decides_the_word(
    complete_law: Sequence[Requirement], outcome: Outcome, word: VerdictWord
) -> None:
    cases = [replace(each, outcome=outcome) if each.case == "P6.all" else each
             for each in everything_passes()]  # fmt: skip
    assert judged_whole(complete_law, cases).word is word


@pytest.mark.parametrize("outcome", [Outcome.UNTESTED, Outcome.DEVIATION])
def test_what_was_left_out_or_is_known_to_fail_makes_a_verdict_partial_even_of_a_should(
    complete_law: Sequence[Requirement], outcome: Outcome
) -> None:
    cases = [*everything_passes(), case("O2.text", outcome)]
    assert judged_whole(complete_law, cases).word is VerdictWord.PARTIAL


def test_a_should_that_fails_binds_nobody(complete_law: Sequence[Requirement]) -> None:
    cases = [*everything_passes(), case("O2.text", Outcome.FAIL)]
    verdict = judged_whole(complete_law, cases)
    assert row(verdict, "O2").outcome is Outcome.FAIL
    assert verdict.word is VerdictWord.CONFORMANT


def test_a_row_that_no_case_judges_keeps_the_verdict_partial(
    complete_law: Sequence[Requirement],
) -> None:
    cases = [each for each in everything_passes() if each.case != "P6.all"]
    verdict = judged_whole(complete_law, cases)
    assert row(verdict, "P6").outcome is Outcome.UNTESTED
    assert verdict.word is VerdictWord.PARTIAL


def test_a_selection_narrower_than_the_contract_is_partial() -> None:
    cases = [case(f"P{n}.all", Outcome.PASS) for n in range(1, 9)]
    verdict = judged(*cases, rows="P1,P2")
    assert {result.outcome for result in verdict.requirements} == {Outcome.PASS}
    assert verdict.word is VerdictWord.PARTIAL


WORST_FIRST = [
    Outcome.HARNESS_ERROR, Outcome.FAIL, Outcome.NOT_RUN, Outcome.UNKNOWN,
    Outcome.UNTESTED, Outcome.DEVIATION, Outcome.PASS,
]  # fmt: skip


@given(st.lists(st.sampled_from(WORST_FIRST), min_size=1))
def test_the_worst_case_counts(outcomes: list[Outcome]) -> None:
    cases = [case(f"P1.{n}", outcome) for n, outcome in enumerate(outcomes)]
    worst = next(outcome for outcome in WORST_FIRST if outcome in outcomes)
    assert row(judged(*cases), "P1").outcome is worst


def test_one_case_may_speak_for_several_requirements() -> None:
    verdict = judged(case("P1.whole", Outcome.FAIL, "P1", "P3"))
    assert row(verdict, "P1").outcome is row(verdict, "P3").outcome is Outcome.FAIL
    assert row(verdict, "P2").outcome is Outcome.UNTESTED


def test_the_reason_quotes_the_cases_that_made_the_outcome() -> None:
    verdict = judged(
        case("P1.a", Outcome.PASS, detail="well"), case("P1.b", Outcome.FAIL, detail="torn")
    )
    assert row(verdict, "P1").reason == "P1.b: torn"
    assert row(verdict, "P1").cases == ("P1.a", "P1.b")
    assert row(verdict, "P1").evidence == (SAMPLED,)


def test_an_undeclared_capability_makes_its_rows_not_applicable() -> None:
    verdict = judged(case("R4.held", Outcome.FAIL), case("R1.all", Outcome.PASS), rows="R")
    assert row(verdict, "R4").outcome is Outcome.NOT_APPLICABLE
    assert row(verdict, "R4").reason == "not declared: lease"


def test_a_declared_capability_binds() -> None:
    verdict = judged(case("R4.held", Outcome.FAIL), rows="R", capabilities=[Capability.LEASE])
    assert verdict.word is VerdictWord.NON_CONFORMANT
    assert verdict.profile == "core + lease"


def test_a_row_whose_cases_all_step_aside_is_untested_not_passed() -> None:
    verdict = judged(case("P4.planted", Outcome.NOT_APPLICABLE), case("P1.all", Outcome.PASS))
    assert row(verdict, "P4").outcome is Outcome.UNTESTED
    assert row(verdict, "P4").cases == ("P4.planted",)


def test_a_case_that_steps_aside_leaves_the_row_to_the_others() -> None:
    verdict = judged(case("P4.planted", Outcome.NOT_APPLICABLE), case("P4.found", Outcome.PASS))
    assert row(verdict, "P4").outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("outcome", "seen"),
    [(Outcome.PASS, Outcome.UNTESTED), (Outcome.FAIL, Outcome.FAIL)],
)
def test_a_row_with_an_untested_part_is_at_best_untested(outcome: Outcome, seen: Outcome) -> None:
    verdict = judged(case("P7.once", outcome), capabilities=[Capability.SINGLE_FLIGHT])
    result = row(verdict, "P7")
    assert result.outcome is seen
    assert EvidenceClass.UNTESTED in {evidence.kind for evidence in result.evidence}


def test_an_untested_row_gives_its_own_reason() -> None:
    verdict = judged(case("L2.all", Outcome.PASS), rows="L")
    assert row(verdict, "L1").outcome is Outcome.UNTESTED
    assert row(verdict, "L1").reason == REQUIREMENTS["L1"].untested


@pytest.mark.parametrize("lost", [Outcome.FAIL, Outcome.DEVIATION])
def test_a_pass_that_rests_on_a_failure_is_blocked(lost: Outcome) -> None:
    verdict = judged(case("P1.a", lost), case("R1.a", Outcome.PASS), rows="P1,R1")
    assert row(verdict, "R1").outcome is Outcome.BLOCKED
    assert "P1" in row(verdict, "R1").reason


def test_a_block_goes_down_the_whole_chain() -> None:
    cases = [case("P1.a", Outcome.FAIL), case("X1.a", Outcome.PASS)]
    verdict = judged(*cases, rows="P1,R1,X1", capabilities=[Capability.EXTRACT])
    assert row(verdict, "X1").outcome is Outcome.BLOCKED


def test_a_failed_dependency_excuses_no_failure() -> None:
    verdict = judged(case("P1.a", Outcome.DEVIATION), case("R1.a", Outcome.FAIL), rows="P1,R1")
    assert row(verdict, "R1").outcome is Outcome.FAIL
    assert verdict.word is VerdictWord.NON_CONFORMANT


def test_an_expected_case_without_a_result_is_not_run_and_invalidates() -> None:
    verdict = judged(case("P1.a", Outcome.PASS), expected={"P1.a": ["P1"], "P2.b": ["P2"]})
    assert row(verdict, "P2").outcome is Outcome.NOT_RUN
    assert verdict.cases[-1].case == "P2.b"
    assert verdict.word is VerdictWord.INVALID


@pytest.mark.parametrize("outcomes", [(), (Outcome.NOT_APPLICABLE,), (Outcome.UNTESTED,)])
def test_a_run_that_judged_nothing_is_invalid(outcomes: tuple[Outcome, ...]) -> None:
    verdict = judged(*(case("P1.a", outcome) for outcome in outcomes))
    assert verdict.word is VerdictWord.INVALID


def test_a_harness_error_is_told_before_a_failure() -> None:
    verdict = judged(case("P1.a", Outcome.FAIL), case("P2.b", Outcome.HARNESS_ERROR))
    assert verdict.word is VerdictWord.INVALID


def test_a_case_for_a_requirement_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="P99"):
        judged(case("P99.a", Outcome.PASS))


def test_every_word_has_an_exit_code_of_its_own_and_a_meaning() -> None:
    assert EXIT_CODES == {"conformant": 0, "partial": 6, "non-conformant": 1, "invalid": 7}
    assert set(MEANINGS) == set(VerdictWord)


outcomes = st.sampled_from(Outcome)
texts = st.text(st.characters(exclude_categories=[]), max_size=8)
evidences = st.builds(Evidence, kind=st.sampled_from(EvidenceClass), detail=texts)
case_results = st.builds(
    CaseResult,
    case=texts,
    requirements=st.lists(st.sampled_from(sorted(REQUIREMENTS)), max_size=3).map(tuple),
    outcome=outcomes,
    evidence=evidences,
    detail=texts,
    duration_s=st.floats(0, 1e6),
)


@given(st.lists(case_results, max_size=5), st.frozensets(st.sampled_from(Capability)))
def test_a_verdict_round_trips_through_the_text_of_its_json(
    cases: list[CaseResult], capabilities: frozenset[Capability]
) -> None:
    verdict = judge(
        cases, capabilities=capabilities, selected=select(["P,R"]), expected_cases={"P1.z": ["P1"]}
    )
    document = to_json(verdict, provenance=PROVENANCE, measurements=[])
    assert from_json(json.loads(json.dumps(document, allow_nan=False))) == verdict


def test_numbers_without_a_json_word_are_written_as_text() -> None:
    psnr = Measurement(name="clip", numbers={"psnr_db": float("inf"), "cold_s": 1.5})
    document = to_json(judged(), provenance=PROVENANCE, measurements=[psnr])
    assert document["measurements"] == [
        {"name": "clip", "numbers": {"psnr_db": "inf", "cold_s": 1.5}}
    ]


def test_the_document_carries_the_text_of_the_rows_it_judges() -> None:
    document = to_json(judged(), provenance=PROVENANCE)
    assert document["contract"]["requirements"]["P1"]["text"] == REQUIREMENTS["P1"].text
    assert document["exit_code"] == EXIT_CODES[VerdictWord.INVALID]


@pytest.mark.parametrize("name", ["backend", "command"])
def test_a_document_without_backend_or_command_is_refused(name: str) -> None:
    provenance = {key: value for key, value in PROVENANCE.items() if key != name}
    with pytest.raises(ValueError, match=name):
        to_json(judged(), provenance=provenance)


def test_another_schema_is_refused() -> None:
    document = to_json(judged(), provenance=PROVENANCE) | {"schema": "untorn/verdict/2"}
    with pytest.raises(ValueError, match="untorn/verdict/2"):
        from_json(document)


def test_a_malformed_document_is_refused() -> None:
    document = to_json(judged(), provenance=PROVENANCE) | {"word": "splendid"}
    with pytest.raises(ValueError, match="splendid"):
        from_json(document)
