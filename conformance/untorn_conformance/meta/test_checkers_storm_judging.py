"""How a round is judged: what is unknown, deadlines, crashes, and that the judges are pure."""

from __future__ import annotations

import ast
import gc
import sys
from pathlib import Path

import pytest
from untorn_conformance.checkers import storm
from untorn_conformance.checkers.storm import judging
from untorn_conformance.checkers.storm.judging import CHECKERS, MOST, judge
from untorn_conformance.contract import REQUIREMENTS
from untorn_conformance.history import Excuse, OpOutcome, Round
from untorn_conformance.meta.literal_history import Told
from untorn_conformance.verdict import Outcome

FOLDER = Path(storm.__file__).parent
LAW = {"backend", "checkers", "contract", "counters", "errors", "history", "verdict"}


def published_and_missed() -> Told:
    told = Told()
    told.publish("w1", 1, 2, "a1")
    told.miss("r", 3, 4, "a")
    return told


def test_the_checkers_are_h1_to_h11_and_name_rows_that_exist() -> None:
    assert list(CHECKERS) == [f"H{number}" for number in range(1, 12)]
    assert {row for each in CHECKERS.values() for row in each.requirements} <= set(REQUIREMENTS)


def test_a_lawful_round_passes_all() -> None:
    judged = judge(Told().round)
    assert judged.violations == ()
    assert {judged.outcome(each) for each in CHECKERS} == {Outcome.PASS}


def test_a_violation_fails_its_checker_and_no_other() -> None:
    judged = judge(published_and_missed().round)
    failed = [each for each in CHECKERS if judged.outcome(each) is Outcome.FAIL]
    assert failed == ["H5"]


def test_a_violation_names_the_operations_that_show_it() -> None:
    (violation,) = judge(published_and_missed().round).violations
    assert violation.operations == (1, 2)
    assert violation.at_ns == 4_000_000


def test_violations_come_in_the_order_of_time() -> None:
    told = published_and_missed()
    told.hit("r", 0.1, 0.2, "", key="b")
    assert [each.checker for each in judge(told.round).violations] == ["H2", "H5"]


def test_a_round_that_was_cut_short_passes_nothing() -> None:
    """A strike that was not over is not written down: what it excuses is not known."""
    told = published_and_missed()
    told.cut_short()
    judged = judge(told.round)
    assert judged.violations == ()
    assert {judged.outcome(each) for each in CHECKERS} == {Outcome.UNKNOWN}


def test_a_round_that_was_cut_short_may_show_torn_bytes() -> None:
    told = published_and_missed()
    told.read("r", 7, 8, told.hit("r", 5, 6, "a1"), None, index=1)
    told.cut_short()
    judged = judge(told.round)
    assert judged.outcome("H1") is Outcome.FAIL
    assert judged.outcome("H5") is Outcome.UNKNOWN


def test_a_deadline_makes_all_unknown_that_was_not_judged() -> None:
    judged = judge(published_and_missed().round, deadline_s=0.0)
    assert {judged.outcome(each) for each in CHECKERS} == {Outcome.UNKNOWN}


def test_a_deadline_far_away_changes_nothing() -> None:
    judged = judge(published_and_missed().round, deadline_s=3600.0)
    assert judged.unknown == {}


def test_a_deadline_is_looked_at_while_a_long_round_is_read() -> None:
    """Ten thousand operations are a moment's work; a thousandth of it is over amid them."""
    told = Told()
    (miss,) = [told.miss("r", 1, 2, "b")]
    ops = tuple([miss] * 200_000)
    judged = judge(Round(start=told.start, ops=ops, audit=told.audit), deadline_s=1e-3)
    assert set(judged.unknown) == set(CHECKERS)


def test_a_checker_that_crashes_is_unknown_and_the_others_judge() -> None:
    """A counter that is no number, from a backend that speaks nonsense."""
    told = published_and_missed()
    told.collect("c", 5, 6, over_budget_bytes="many")  # type: ignore[arg-type]
    judged = judge(told.round)
    assert "TypeError" in judged.unknown["H7"]
    assert judged.outcome("H7") is Outcome.UNKNOWN
    assert judged.outcome("H5") is Outcome.FAIL
    assert judged.outcome("H9") is Outcome.PASS


def test_what_crashes_before_anything_is_judged_makes_all_unknown() -> None:
    told = published_and_missed()
    told.collect("c", 5, 6, evicted="some")  # type: ignore[arg-type]
    judged = judge(told.round)
    assert set(judged.unknown) == set(CHECKERS)


def test_the_first_violations_of_a_kind_are_told_and_no_other_kind_is_cut() -> None:
    told = Told()
    for number in range(MOST + 5):
        told.hit("r", number, number + 0.5, "", key="a", files=1)
    told.publish("w", MOST + 8, MOST + 9, "a1", OpOutcome.UNPUBLISHED, files=1)
    judged = judge(told.round)
    rows = [each.requirements for each in judged.violations if each.checker == "H1"]
    assert rows == [("P1", "R1")] * MOST + [("P5",)]


def test_each_checker_says_how_much_it_judged() -> None:
    assert list(judge(published_and_missed().round).judged) == list(CHECKERS)


@pytest.mark.parametrize("excuse", list(Excuse))
def test_a_strike_that_did_not_bite_excuses_nothing(excuse: Excuse) -> None:
    told = published_and_missed()
    told.strike(0, None, excuse, bit=False)
    assert judge(told.round).outcome("H5") is Outcome.FAIL


def test_each_family_is_of_checkers_that_exist() -> None:
    decided = {each for family in judging._FAMILIES for each in family.checkers}
    assert decided == set(CHECKERS)


def test_the_judges_are_pure() -> None:
    """They import the law and the standard library, and open nothing."""
    was_enabled = gc.isenabled()
    judge(Told().round)
    assert gc.isenabled() is was_enabled
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.module is not None
                top, _, below = node.module.partition(".")
                assert top in sys.stdlib_module_names or below.partition(".")[0] in LAW, path
            elif isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} <= {"gc", "time"}, path
            elif isinstance(node, ast.Name):
                assert node.id != "open", path


def test_an_unread_answer_of_every_kind_is_taken_in() -> None:
    told = Told()
    for number, outcome in enumerate(OpOutcome):
        via = 0 if outcome in {"read", "evicted", "damaged"} else -1
        told.op("p", number + 1, number + 1.5, "verb", key="a", outcome=outcome, via=via)
    assert judge(told.round).unknown == {}
