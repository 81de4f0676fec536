"""Everybody's death, seen from outside: real runs of the suite, judged by what they leave."""

from __future__ import annotations

from pathlib import Path

import pytest
from untorn_conformance.meta.test_interleavings_meta import PACKED, SUITE, run_suite
from untorn_stress import counterexample
from untorn_stress.gate.availability import probe

CRASHES = SUITE.with_name("test_crash_states.py")
TEARING = "py:untorn_conformance.specimens.after_review:factory_reversed"

pytestmark = pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")


def test_a_removal_in_place_fails_C1_and_C3_with_a_run_that_was_killed(tmp_path: Path) -> None:
    ran = run_suite(tmp_path, "test_everything_dies[collect-alone]", TEARING, suite=CRASHES)
    failed = [row["id"] for row in ran.document["requirements"] if row["outcome"] == "FAIL"]
    assert failed == ["C1", "C3"]
    folder = tmp_path / "runs" / "latest" / "counterexamples"
    kept = [counterexample.read(path) for path in sorted(folder.iterdir())]
    assert [each.token.scenario for each in kept] == ["collect-alone"] * 2
    assert all(each.run.choices[-1] == "A!kill" == each.run.steps[-1].label for each in kept)


def test_what_a_sound_publish_leaves_is_evidence_with_its_counts(tmp_path: Path) -> None:
    sound = TEARING.removesuffix("_reversed")
    ran = run_suite(tmp_path, "test_everything_dies[publish-alone]", sound, suite=CRASHES)
    (row,) = (each for each in ran.document["requirements"] if each["id"] == "C3")
    (told,) = row["evidence"]
    assert told["kind"] == "EXHAUSTIVE"
    assert told["detail"].startswith("publish-alone from empty: everything dies at each of ")


def test_a_tree_that_cannot_be_made_has_no_crash_states(tmp_path: Path) -> None:
    ran = run_suite(tmp_path, "test_everything_dies[repair-alone]", PACKED, suite=CRASHES)
    (case,) = ran.document["cases"]
    assert case["outcome"] == "NOT_APPLICABLE"
    assert "the tree 'damaged' cannot be made" in str(case)
