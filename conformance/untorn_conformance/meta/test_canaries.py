"""Canaries speak for the run: one that did not fail, for its own reason, makes it invalid."""

from __future__ import annotations

from pathlib import Path

import pytest
from untorn_conformance.baseline import SCHEMA
from untorn_conformance.baseline_edit import says_something, sights_of
from untorn_conformance.cases import canary
from untorn_conformance.meta.inner_run import PASSING, Ran, run_pytest
from untorn_conformance.verdict import from_json

IMPORTS = "from untorn_conformance.plugin import canary\n"
SINGS = f"""
{IMPORTS}
@canary(says="torn")
def test_a_torn_read_is_noticed(farm):
    assert False, "torn"
"""
MUTE = f"""
{IMPORTS}
@canary(says="torn")
def test_a_torn_read_is_noticed(farm):
    pass
"""
OFF_KEY = f"""
{IMPORTS}
@canary(says="torn")
def test_a_torn_read_is_noticed(farm):
    assert False, "something else"
"""
CHOKES = f"""
{IMPORTS}
@canary(says="torn")
def test_a_torn_read_is_noticed(farm):
    raise OSError("torn")
"""
CANNOT_TELL = f"""
{IMPORTS}
from untorn_conformance.plugin import unknown
@canary(says="torn")
def test_a_torn_read_is_noticed(farm):
    unknown("no gate here")
"""
NAME = "canary.a_torn_read_is_noticed"


def run(folder: Path, suite: str, *options: str) -> Ran:
    return run_pytest(folder, *options, suite=suite)


@pytest.mark.parametrize("options", [(), ("-n1",)], ids=["alone", "xdist"])
def test_a_canary_that_fails_as_it_must_is_shown_as_a_pass(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    ran = run(tmp_path, PASSING + SINGS, *options)
    assert (ran.outcomes[NAME], ran.document["word"]) == ("PASS", "partial"), ran.text
    assert "4 passed" in ran.text
    assert "canaries: 1 of 1 broken caches found out" in ran.text
    assert NAME not in sights_of([from_json(ran.document)])


@pytest.mark.parametrize("suite", [MUTE, OFF_KEY, CHOKES], ids=["mute", "off-key", "chokes"])
def test_a_canary_that_does_not_fail_for_its_reason_makes_the_run_invalid(
    tmp_path: Path, suite: str
) -> None:
    ran = run(tmp_path, PASSING + suite)
    assert ran.outcomes[NAME] == "HARNESS_ERROR", ran.text
    assert (ran.document["word"], ran.document["exit_code"]) == ("invalid", 7)
    assert "1 failed, 3 passed" in ran.text
    assert "was not found out" in ran.detail(NAME)
    assert not says_something(from_json(ran.document))


def test_a_canary_that_cannot_be_judged_is_named(tmp_path: Path) -> None:
    ran = run(tmp_path, PASSING + CANNOT_TELL)
    assert (ran.outcomes[NAME], ran.document["word"]) == ("UNKNOWN", "partial")
    assert f"UNKNOWN {NAME}" in ran.text


def test_a_canary_runs_whatever_rows_are_selected(tmp_path: Path) -> None:
    ran = run(tmp_path, PASSING + MUTE, "--req", "G1")
    assert set(ran.outcomes) == {"G1.third", NAME}
    assert ran.document["word"] == "invalid"


def test_a_canary_alone_is_no_verdict(tmp_path: Path) -> None:
    ran = run(tmp_path, PASSING + SINGS, "--req", "X1")
    assert ran.outcomes == {NAME: "PASS"}
    assert ran.document["word"] == "invalid"


def test_no_baseline_excuses_a_canary(tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.toml"
    told = 'reason = "all of it"\nissue = "#1"\nuntil = 2099-01-01\nexpect = ["PASS", "FAIL"]'
    baseline.write_text(f'schema = "{SCHEMA}"\n[[deviation]]\ncase = "*"\n{told}\n', "utf-8")
    ran = run(tmp_path, PASSING + MUTE, "--baseline", str(baseline))
    assert ran.outcomes[NAME] == "HARNESS_ERROR", ran.text
    assert ran.document["word"] == "invalid"


def test_a_canary_says_what_it_fails_with() -> None:
    with pytest.raises(ValueError, match="any reason"):
        canary(says="")
