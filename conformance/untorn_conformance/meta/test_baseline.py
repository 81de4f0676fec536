"""Baselines: what the file may say, and what becomes of it in real runs of pytest and the command.

The breaks that these were seen to find: a DEVIATION shown as a pass; a stale entry let pass; the
check of unmatched entries left out under pytest-xdist; an entry that is covered twice.
"""

from __future__ import annotations

import json
import os
from datetime import date
from pathlib import Path

import pytest
from untorn_conformance.baseline import SCHEMA, BaselineError, Fault, covers, parse
from untorn_conformance.meta.command import untorn
from untorn_conformance.meta.inner_run import EVERY_OUTCOME, OUTCOMES, PASSING, Ran, run_pytest

NO_VERDICT, USAGE = 7, 2
TODAY = date(2026, 6, 1)


def deviation(case: str, *more: str, until: str = "2099-01-01") -> str:
    told = ['reason = "links are counted"', 'issue = "#12"', f"until = {until}"]
    return "\n".join(["[[deviation]]", f'case = "{case}"', *told, *more, ""])


def excluded(case: str) -> str:
    return f'[[exclude]]\ncase = "{case}"\nreason = "no namespaces here"\n'


def written(folder: Path, *entries: str) -> Path:
    path = folder / "baseline.toml"
    path.write_text("\n".join([f'schema = "{SCHEMA}"', *entries]), encoding="utf-8")
    return path


def run(folder: Path, *entries: str, suite: str = EVERY_OUTCOME, workers: str = "0") -> Ran:
    path = written(folder, *entries)
    return run_pytest(folder, "--baseline", str(path), "-rs", "-n", workers, suite=suite)


# --- the file ------------------------------------------------------------------------------------


def faults(*entries: str, head: str = f'schema = "{SCHEMA}"') -> tuple[list[Fault], str]:
    with pytest.raises(BaselineError) as caught:
        parse("\n".join([head, *entries]), name="b.toml", today=TODAY)
    assert "\n" not in str(caught.value)
    return [problem.fault for problem in caught.value.problems], str(caught.value)


@pytest.mark.parametrize(
    ("entry", "fault", "says"),
    [
        ("[[deviation", Fault.MALFORMED, "it is not TOML"),
        ("deviation = 3", Fault.MALFORMED, "begin each with [[deviation]]"),
        ("[[deviations]]", Fault.UNKNOWN_KEY, "'deviations' is not known"),
        (deviation("P1.a", 'why = "x"'), Fault.UNKNOWN_KEY, "'why'"),
        (deviation("P1.a", 'expect = "PASS"'), Fault.MALFORMED, 'neither "FAIL" nor'),
        (deviation("P1.a", 'expect = ["FAIL", "UNKNOWN"]'), Fault.MALFORMED, "expect"),
        (deviation("P1.a", until='"2027-01-01"'), Fault.MALFORMED, "a date without quotes"),
        (deviation("P1.a", until="2027-01-01T00:00:00"), Fault.MALFORMED, "a date without quotes"),
        (deviation("P1.a").replace('issue = "#12"', ""), Fault.INCOMPLETE, "has no issue"),
        (deviation("P1.a").replace("#12", ""), Fault.INCOMPLETE, "has no issue"),
        (deviation("P1.a").replace("reason", "#"), Fault.INCOMPLETE, "has no reason"),
        (deviation("P1.a").replace("until", "#"), Fault.INCOMPLETE, "has no until"),
        (deviation("P1.a").replace("case", "#"), Fault.INCOMPLETE, "has no case"),
        (deviation("P1.a").replace('"#12"', "12"), Fault.MALFORMED, "issue is no text"),
        ('[[exclude]]\ncase = "P1.a"', Fault.INCOMPLETE, "[[exclude]] 1 (P1.a) has no reason"),
        (deviation("P1.a", until="2026-05-31"), Fault.EXPIRED, "ended on 2026-05-31; remove it"),
    ],
)
def test_what_is_wrong_in_a_file_has_a_name_and_says_what_to_do(
    entry: str, fault: Fault, says: str
) -> None:
    found, message = faults(entry)
    assert found == [fault]
    assert message.startswith(f"b.toml: {fault}: ")
    assert says in message


@pytest.mark.parametrize("head", ["", 'schema = "untorn/baseline/2"'])
def test_a_file_of_another_schema_is_refused(head: str) -> None:
    found, message = faults(head=head)
    assert found == [Fault.MALFORMED]
    assert f'write schema = "{SCHEMA}" at its top' in message


def test_an_entry_holds_on_its_last_day() -> None:
    entries = f'schema = "{SCHEMA}"\n' + deviation("P1.a", until="2026-06-01")
    assert parse(entries, name="b", today=TODAY).deviation_of("P1.a") is not None


def test_all_problems_are_kept_and_the_message_has_the_first_and_their_number() -> None:
    found, message = faults(deviation("P1.a").replace("#12", ""), excluded("P2.a") + "when = 1")
    assert found == [Fault.INCOMPLETE, Fault.UNKNOWN_KEY]
    assert message.endswith("(1 more: untorn baseline check b.toml)")


@pytest.mark.parametrize(
    ("pattern", "case", "is_covered"),
    [
        ("P1.a", "P1.a", True),
        ("P1.*", "P1.a[b]", True),
        ("P1.a[b]", "P1.a[b]", True),
        ("P1.a[b]", "P1.ab", False),
        ("P1.?", "P1.a", True),
        ("P1", "P1.a", False),
        ("p1.a", "P1.a", False),
    ],
)
def test_a_pattern_covers_names_and_brackets_are_names(
    pattern: str, case: str, is_covered: bool
) -> None:
    assert covers(pattern, case) is is_covered


# --- runs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_known_failure_is_a_deviation_and_no_pass(tmp_path: Path, workers: str) -> None:
    suite = PASSING + '@requires("P8", evidence="none")\ndef test_P8_fails(farm): assert False\n'
    ran = run(tmp_path, deviation("P8.f*"), suite=suite, workers=workers)
    assert ran.exit_code == 0, ran.text
    assert ran.outcomes["P8.fails"] == "DEVIATION"
    assert "known until 2099-01-01: links are counted (#12)\nseen: assert False" in (
        ran.detail("P8.fails")
    )
    assert "DEVIATION: known until 2099-01-01" in ran.text
    assert "3 passed, 1 skipped" in ran.text
    assert ran.requirement("P8")["outcome"] == "DEVIATION"
    assert ran.document["word"] == "partial"


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_stale_entry_fails_the_run_and_leaves_no_verdict(tmp_path: Path, workers: str) -> None:
    ran = run(tmp_path, deviation("P1.first"), suite=PASSING, workers=workers)
    assert ran.exit_code == pytest.ExitCode.TESTS_FAILED
    assert ran.outcomes["P1.first"] == "HARNESS_ERROR"
    assert "stale baseline entry 'P1.first': the case passes now; remove" in ran.detail("P1.first")
    assert ran.document["word"] == "invalid"


def test_an_entry_that_covers_one_case_that_passes_is_stale_for_it(tmp_path: Path) -> None:
    ran = run(tmp_path, deviation("P*"))
    assert ran.outcomes["P1.passes"] == "HARNESS_ERROR"
    assert ran.outcomes["P2.fails"] == "DEVIATION"


@pytest.mark.parametrize("kind", ["SAMPLED", "EXHAUSTIVE"])
def test_a_pass_now_and_then_is_a_deviation_unless_nothing_was_left_to_chance(
    tmp_path: Path, kind: str
) -> None:
    suite = f"""
from untorn_conformance.verdict import Evidence, EvidenceClass

@requires("P1", evidence=Evidence(kind=EvidenceClass.{kind}, detail="all"))
def test_P1_now_and_then(farm):
    pass
"""
    ran = run(tmp_path, deviation("P1.*", 'expect = ["PASS", "FAIL"]'), suite=suite)
    if kind == "SAMPLED":
        assert ran.outcomes == {"P1.now_and_then": "DEVIATION"}
        assert "not seen this time" in ran.detail("P1.now_and_then")
        assert "1 skipped" in ran.text
    else:
        assert ran.outcomes == {"P1.now_and_then": "HARNESS_ERROR"}


@pytest.mark.parametrize(
    "case", ["P3.is_unknown", "G1.is_wrong_itself", "G2.has_a_broken_fixture", "G3.*", "R4.*"]
)
def test_nothing_but_a_failure_is_excused(tmp_path: Path, case: str) -> None:
    ran = run(tmp_path, deviation(case), suite=EVERY_OUTCOME)
    assert ran.outcomes == OUTCOMES


@pytest.mark.parametrize("workers", ["0", "2"])
def test_what_is_excluded_does_not_run_and_the_verdict_is_partial(
    tmp_path: Path, workers: str
) -> None:
    suite = PASSING + '@requires("O2", evidence="none")\ndef test_O2_dies(): os._exit(1)\n'
    ran = run(tmp_path, excluded("O2.*"), suite=suite, workers=workers)
    assert ran.exit_code == 0, ran.text
    assert ran.outcomes["O2.dies"] == "UNTESTED"
    assert ran.detail("O2.dies") == "excluded by the baseline: no namespaces here"
    assert ran.document["word"] == "partial"


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([deviation("P1.frist")], "unmatched: no case is called P1.frist"),
        ([excluded("P1.frist")], "unmatched: no case is called P1.frist"),
        ([deviation("P1.*"), excluded("*.first")], "covered-twice: P1.first is covered by"),
        ([deviation("P1.first", until="2001-01-01")], "expired: the entry for P1.first ended"),
        (["[[deviation"], "malformed: it is not TOML"),
    ],
)
def test_a_baseline_that_is_not_in_order_ends_the_run_before_a_case_runs(
    tmp_path: Path, entries: list[str], says: str
) -> None:
    ran = run(tmp_path, *entries, suite=PASSING)
    assert ran.exit_code == NO_VERDICT
    assert says in ran.text
    assert "passed" not in ran.text
    assert ran.document == {}
    assert ran.leftovers == []


def test_it_does_so_too_where_other_processes_collect(tmp_path: Path) -> None:
    ran = run(tmp_path, deviation("P1.frist"), suite=PASSING, workers="2")
    assert (ran.exit_code, ran.document) == (NO_VERDICT, {})
    assert "unmatched: no case is called P1.frist" in ran.text
    assert "passed" not in ran.text


CANARY = """
from untorn_conformance.plugin import canary

@canary(says="dead")
def test_in_the_mine(farm):
    assert os.environ.get("AIR"), "dead"
"""


@pytest.mark.parametrize("entry", [deviation("canary.*"), excluded("canary.in_the_mine")])
def test_no_entry_is_about_a_canary(tmp_path: Path, entry: str) -> None:
    ran = run(tmp_path, entry, suite=PASSING + CANARY)
    assert ran.exit_code == NO_VERDICT
    assert "unmatched: no case is called canary." in ran.text


@pytest.mark.parametrize("air", ["", "fresh"])
def test_an_entry_for_every_case_leaves_a_canary_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, air: str
) -> None:
    monkeypatch.setenv("AIR", air)
    suite = '@requires("P8", evidence="none")\ndef test_P8_fails(farm): assert False\n' + CANARY
    ran = run(tmp_path, deviation("*"), suite=suite)
    told = "HARNESS_ERROR" if air else "PASS"
    assert ran.outcomes == {"P8.fails": "DEVIATION", "canary.in_the_mine": told}
    assert "stale" not in ran.detail("canary.in_the_mine")


def test_an_entry_for_a_row_that_is_not_selected_is_no_error(tmp_path: Path) -> None:
    path = written(tmp_path, deviation("G1.third"))
    ran = run_pytest(tmp_path, "--baseline", str(path), "--req", "P1", suite=PASSING)
    assert ran.exit_code == 0, ran.text


def test_the_verdict_says_that_there_was_a_baseline(tmp_path: Path) -> None:
    ran = run(tmp_path, deviation("P2.fails"), excluded("G5.*"))
    assert ran.document["provenance"]["baseline"] == {
        "file": str(tmp_path / "baseline.toml"),
        "deviations": 1,
        "exclusions": 1,
    }


# --- the commands --------------------------------------------------------------------------------


FAILING = """
@requires("P1", evidence="none")
@pytest.mark.parametrize("how", ["a", "b"])
def test_P1_case(how):
    assert how in os.environ.get("MENDED", ""), f"\\x1b broken \\"{how}\\""
"""


def failing_run(folder: Path, name: str, mended: str = "", baseline: Path | None = None) -> Path:
    """The directory of a run in which the cases fail that are not ``mended``."""
    (folder / name).mkdir()
    os.environ["MENDED"] = mended
    try:
        arguments = [] if baseline is None else ["--baseline", str(baseline)]
        run_pytest(folder / name, *arguments, suite=FAILING)
    finally:
        del os.environ["MENDED"]
    return folder / name / "runs" / "latest"


def test_from_failures_to_a_baseline_and_out_of_it_again(tmp_path: Path) -> None:
    """What update writes, the next run accepts; what is mended is stale, and goes."""
    broken = failing_run(tmp_path, "broken")
    done = untorn("baseline", "update", broken, "--issue", "#1", "--file", "b.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "b.toml"
    path.write_text("# by hand\n" + path.read_text())
    entries = parse(path.read_text(), name="b").deviations
    assert [each.case for each in entries] == ["P1.case[a]", "P1.case[b]"]
    assert {each.issue for each in entries} == {"#1"}
    assert '\x1b broken "a"' in entries[0].reason

    excused = failing_run(tmp_path, "excused", baseline=path)
    cases = json.loads((excused / "verdict.json").read_text())["cases"]
    assert {case["outcome"] for case in cases} == {"DEVIATION"}
    again = untorn("baseline", "update", excused, "--file", "b.toml", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (0, "b.toml: nothing to change\n")

    mended = failing_run(tmp_path, "mended", mended="a", baseline=path)
    check = untorn("baseline", "check", "b.toml", mended, cwd=tmp_path)
    assert check.returncode == NO_VERDICT
    assert "stale: baseline entry 'P1.case[a]': the case passes now; remove" in check.stdout
    untorn("baseline", "update", mended, "--file", "b.toml", cwd=tmp_path)
    assert [each.case for each in parse(path.read_text(), name="b").deviations] == ["P1.case[b]"]
    assert path.read_text().startswith("# by hand\n")


def test_a_case_that_fails_in_one_run_and_passes_in_another_fails_now_and_then(
    tmp_path: Path,
) -> None:
    runs = [failing_run(tmp_path, "one"), failing_run(tmp_path, "other", mended="a")]
    done = untorn("baseline", "update", *runs, "--issue", "#1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "untorn-baseline.toml").read_text()
    first, second = parse(text, name="b").deviations
    assert (first.case, first.is_intermittent) == ("P1.case[a]", True)
    assert (second.case, second.is_intermittent) == ("P1.case[b]", False)


def test_an_entry_for_several_cases_is_narrowed_to_those_that_still_fail(tmp_path: Path) -> None:
    path = tmp_path / "b.toml"
    path.write_text(
        f'schema = "{SCHEMA}"\n\n# about P1\n{deviation("P1.*")}\n# about E2\n{excluded("E2.*")}'
    )
    mended = failing_run(tmp_path, "mended", mended="a")
    done = untorn("baseline", "update", mended, "--file", path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (left,) = parse(path.read_text(), name="b").deviations
    assert (left.case, left.reason) == ("P1.case[b]", "links are counted")
    assert "# about E2" in path.read_text()
    assert "# about P1" not in path.read_text()


def test_new_failures_need_an_issue_and_nothing_is_written_without(tmp_path: Path) -> None:
    done = untorn("baseline", "update", failing_run(tmp_path, "run"), cwd=tmp_path)
    assert done.returncode == USAGE
    assert "P1.case[a], P1.case[b]; say where they are tracked: --issue" in done.stderr
    assert not (tmp_path / "untorn-baseline.toml").exists()


def test_update_takes_only_the_cases_that_are_named(tmp_path: Path) -> None:
    broken = failing_run(tmp_path, "run")
    untorn("baseline", "update", broken, "--issue", "#1", "--case", "*[b]", cwd=tmp_path)
    text = (tmp_path / "untorn-baseline.toml").read_text()
    assert [each.case for each in parse(text, name="b").deviations] == ["P1.case[b]"]


def test_inline_entries_cannot_be_edited_and_that_is_said(tmp_path: Path) -> None:
    entry = '{case = "P1.case[a]", reason = "r", issue = "i", until = 2099-01-01}'
    (tmp_path / "b.toml").write_text(f'schema = "{SCHEMA}"\ndeviation = [{entry}]\n')
    arguments = ("--issue", "#1", "--file", "b.toml")
    done = untorn("baseline", "update", failing_run(tmp_path, "run"), *arguments, cwd=tmp_path)
    assert done.returncode == NO_VERDICT
    assert "UneditableError: b.toml: write each entry as a block" in done.stderr


def test_check_knows_the_cases_of_the_suite(tmp_path: Path) -> None:
    written(tmp_path, deviation("G2.ends_within_the_budget"), excluded("G2.no_such_case"))
    done = untorn("baseline", "check", "baseline.toml", "--json", cwd=tmp_path)
    assert done.returncode == NO_VERDICT
    (problem,) = json.loads(done.stdout)["problems"]
    assert problem["fault"] == "unmatched"
    assert "no case is called G2.no_such_case" in problem["text"]


def test_a_baseline_in_order_is_said_to_be(tmp_path: Path) -> None:
    written(tmp_path, deviation("G2.ends_within_the_budget"))
    done = untorn("baseline", "check", "baseline.toml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "baseline.toml: in order\n")


def test_verify_takes_a_baseline_and_says_so_again(tmp_path: Path) -> None:
    written(tmp_path, excluded("K2.*"))
    arguments = ("--req", "K2,P8", "-n", "0", "--run-dir", "runs", "--json")
    done = untorn("verify", "--baseline", "baseline.toml", *arguments, cwd=tmp_path)
    assert done.returncode == 6, done.stderr
    document = json.loads(done.stdout)
    assert {row["id"]: row["outcome"] for row in document["requirements"]} == {
        "K2": "UNTESTED",
        "P8": "PASS",
    }
    assert "--baseline baseline.toml" in document["provenance"]["command"]


@pytest.mark.parametrize("entry", ["[[deviation", deviation("P1.a", until="2001-01-01")])
def test_verify_refuses_a_baseline_before_it_starts_anything(tmp_path: Path, entry: str) -> None:
    written(tmp_path, entry)
    done = untorn("verify", "--baseline", "baseline.toml", "--json", cwd=tmp_path)
    assert done.returncode == NO_VERDICT
    assert json.loads(done.stdout)["error"] == "BaselineError"
    assert done.stderr.startswith("untorn: BaselineError: baseline.toml: ")
    assert len(done.stderr.splitlines()) == 1


def test_verify_ends_without_a_verdict_where_an_entry_has_no_case(tmp_path: Path) -> None:
    written(tmp_path, deviation("P1.frist"))
    done = untorn("verify", "--baseline", "baseline.toml", "-n", "0", "--req", "K2", cwd=tmp_path)
    assert done.returncode == NO_VERDICT
    assert "no case is called P1.frist" in done.stdout + done.stderr
    assert not (tmp_path / "untorn-runs").exists()
