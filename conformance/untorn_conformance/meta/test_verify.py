"""`untorn verify` as a user meets it: the verdict is its exit code; no verdict is no success."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from untorn_conformance.contract import REQUIREMENTS, Capability
from untorn_conformance.meta.command import untorn
from untorn_conformance.verdict import (
    CaseResult,
    Evidence,
    EvidenceClass,
    Outcome,
    VerdictWord,
    from_json,
    judge,
    to_json,
)
from untorn_conformance.verify import Wanted, exit_code

CHECKOUT = Path(__file__).resolve().parents[3]
PARTIAL, INVALID, NON_CONFORMANT, USAGE = 6, 7, 1, 2


def document(*outcomes: Outcome) -> dict[str, object]:
    evidence = Evidence(kind=EvidenceClass.SAMPLED, detail="made for this test")
    cases = [
        CaseResult(case=f"P1.case{n}", requirements=("P1",), outcome=outcome, evidence=evidence)
        for n, outcome in enumerate(outcomes)
    ]
    verdict = judge(
        cases,
        capabilities=frozenset[Capability](),
        selected=tuple(REQUIREMENTS.values()),
        expected_cases={case.case: case.requirements for case in cases},
    )
    return to_json(verdict, provenance={"backend": "x", "command": "x"}, measurements=())


@pytest.mark.parametrize(
    ("outcomes", "allow_partial", "require_evidence", "code"),
    [
        ([Outcome.PASS], False, False, PARTIAL),
        ([Outcome.PASS], True, False, 0),
        ([Outcome.PASS], True, True, 0),
        ([Outcome.PASS, Outcome.UNKNOWN], True, False, 0),
        ([Outcome.PASS, Outcome.UNKNOWN], True, True, PARTIAL),
        ([Outcome.PASS, Outcome.FAIL], True, False, NON_CONFORMANT),
        ([Outcome.PASS, Outcome.HARNESS_ERROR], True, False, INVALID),
        ([Outcome.PASS, Outcome.NOT_RUN], True, False, INVALID),
    ],
)
def test_the_exit_code_is_the_verdict(
    outcomes: list[Outcome], allow_partial: bool, require_evidence: bool, code: int
) -> None:
    wanted = Wanted(allow_partial=allow_partial, require_evidence=require_evidence)
    assert exit_code(document(*outcomes), wanted) == code


def test_a_run_writes_its_report_and_says_its_effort_whatever_the_users_pytest_is_told(
    tmp_path: Path,
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\npython_files = nothing_*.py\naddopts = --boo\n")
    (tmp_path / "conftest.py").write_text("raise RuntimeError('not ours')\n")
    arguments = ("verify", "--req", "K2", "-n", "0", "--run-dir", "runs", "--effort", "nightly")
    done = untorn(*arguments, cwd=tmp_path, fresh=True)
    (run,) = [path for path in (tmp_path / "runs").iterdir() if not path.is_symlink()]
    assert done.returncode == PARTIAL, done.stdout
    assert "verdict: partial" in done.stdout
    assert "--effort nightly" in done.stdout
    assert f"report: {run / 'report.html'}" in done.stdout
    text = (run / "verdict.json").read_text(encoding="utf-8")
    assert from_json(json.loads(text)).word is VerdictWord.PARTIAL


def test_json_is_alone_on_stdout(tmp_path: Path) -> None:
    done = untorn("verify", "--req", "K2", "-n", "0", "--json", "--run-dir", "r", cwd=tmp_path)
    assert json.loads(done.stdout)["schema"] == "untorn/verdict/1"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--req", "Z9"),
        ("--backend", "nonsense"),
        ("--backend", "py:no.such:thing:at:all"),
        ("--effort", "weekly"),
    ],
)
def test_what_cannot_be_understood_is_a_usage_error(
    arguments: tuple[str, str], tmp_path: Path
) -> None:
    assert untorn("verify", *arguments, "-n", "0", cwd=tmp_path).returncode == USAGE


def test_a_backend_that_cannot_start_gives_no_verdict(tmp_path: Path) -> None:
    arguments = ("verify", "--backend", "py:no.such.module:factory", "--req", "K2", "-n", "0")
    done = untorn(*arguments, "--allow-partial", "--run-dir", "runs", cwd=tmp_path)
    assert done.returncode == INVALID, done.stdout
    assert "; its stderr ends with: ModuleNotFoundError: No module named 'no';" in done.stderr
