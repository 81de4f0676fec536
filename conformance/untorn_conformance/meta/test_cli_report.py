"""`untorn report` and `untorn compare` on real runs, and on what is no run."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from untorn_conformance.meta.command import assert_refused_by_name, untorn
from untorn_conformance.meta.inner_run import EVERY_OUTCOME, PASSING, TORN, run_pytest
from untorn_stress.gate import availability

DIFFERENT, USAGE, NO_VERDICT = 1, 2, 7
REPORTS = ["report.html", "junit.xml", "summary.md"]
GATE = availability.probe()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    run_pytest(folder, suite=EVERY_OUTCOME)
    return (folder / "runs" / "latest").resolve()


# --- report --------------------------------------------------------------------------------------


def test_a_report_that_is_rendered_again_is_the_same(run: Path, tmp_path: Path) -> None:
    """From verdict.json alone: nothing else of the run is there."""
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(run / "verdict.json", alone)
    done = untorn("report", alone / "verdict.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(alone / name) for name in REPORTS]
    for name in REPORTS:
        assert (alone / name).read_bytes() == (run / name).read_bytes()


def test_latest_may_be_named_and_is_rendered_where_it_leads(run: Path) -> None:
    written = (run / "report.html").read_bytes()
    (run / "report.html").unlink()
    assert untorn("report", run.parent / "latest", cwd=run).returncode == 0
    assert (run / "report.html").read_bytes() == written
    assert (run.parent / "latest").readlink() == Path(run.name)


@pytest.mark.skipif(not GATE.ok, reason=f"UNKNOWN: no gate here: {GATE.reason}")
def test_a_counterexample_is_drawn_in_the_page_with_the_line_that_replays_it(
    tmp_path: Path,
) -> None:
    mutant = "py:untorn_conformance.mutants.no_lease:factory"
    bounds = ("--scenario", "reader-collector", "--tree", "published", "--preemptions", "1")
    out = tmp_path / "run/counterexamples"
    found = untorn("explore", "--backend", mutant, *bounds, "--out", out, cwd=tmp_path)
    assert found.returncode == 1, found.stderr
    ran = run_pytest(tmp_path, suite=PASSING)
    shutil.copy(tmp_path / "runs/latest/verdict.json", tmp_path / "run")
    (tmp_path / "run/counterexamples/broken.json").write_text("{")
    assert untorn("report", tmp_path / "run", cwd=tmp_path).returncode == 0
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    replay = re.findall(r"untorn replay (u1\.[^\s<]+)", page)
    assert replay, ran.text
    columns = re.findall(r'<pre class="wide">.*?</pre>', page, re.DOTALL)
    assert any("rename" in each and "step  A" in each for each in columns)
    assert "it cannot be drawn: " in page
    again = untorn("replay", replay[0], cwd=tmp_path)
    assert again.returncode == 1, again.stdout
    assert (
        f"    untorn replay {replay[0]}" in (tmp_path / "run/summary.md").read_text().splitlines()
    )


# --- compare -------------------------------------------------------------------------------------


def test_runs_are_compared_as_text_page_and_json(run: Path, tmp_path: Path) -> None:
    run_pytest(tmp_path, suite=EVERY_OUTCOME, backend=TORN)
    arguments = ("compare", run, tmp_path / "runs/latest", "--html", tmp_path / "matrix.html")
    done = untorn(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1  demo-directory 1.0: invalid" in done.stdout
    assert "they differ in: " in done.stdout
    assert (tmp_path / "matrix.html").read_text().startswith("<!doctype html>")
    told = json.loads(untorn(*arguments, "--json", cwd=tmp_path).stdout)
    assert [each["backend"] for each in told["runs"]] == ["demo-directory", "demo-directory"]


def test_two_runs_of_one_seed_are_equal_but_for_times_pids_and_paths(
    run: Path, tmp_path: Path
) -> None:
    run_pytest(tmp_path, suite=EVERY_OUTCOME)
    done = untorn("compare", "--canonical", run, tmp_path / "runs/latest", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "equal, but for times, pids and paths\n")


def test_rows_of_the_real_suite_give_equal_verdicts_twice(tmp_path: Path) -> None:
    for name in ("one", "other"):
        rows = ("--req", "K7,P8,G10,F4")
        done = untorn("verify", *rows, "-n", "0", "--run-dir", tmp_path / name, cwd=tmp_path)
        assert "verdict: partial" in done.stdout, done.stdout
    runs = [tmp_path / name / "latest" for name in ("one", "other")]
    assert len({(run / "verdict.json").read_bytes() for run in runs}) == 2
    done = untorn("compare", "--canonical", *runs, cwd=tmp_path)
    assert done.returncode == 0, done.stdout


def test_another_outcome_is_a_difference_and_is_named(run: Path, tmp_path: Path) -> None:
    text = (run / "verdict.json").read_text()
    (tmp_path / "verdict.json").write_text(text.replace('"UNKNOWN"', '"FAIL"', 1))
    done = untorn("compare", "--canonical", run, tmp_path, "--json", cwd=tmp_path)
    assert done.returncode == DIFFERENT
    told = json.loads(done.stdout)
    assert told["equal"] is False
    assert told["differences"][0].endswith('outcome: "UNKNOWN" and "FAIL"')


@pytest.mark.parametrize("command", ["report", "compare"])
@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ('{"schema": "untorn/verdict/9"}', "VerdictSchemaError", "verify again with this untorn"),
        ('{"schema": "untorn/verdict/1"}', "VerdictFileError", "not a verdict"),
        ("{", "VerdictFileError", "is not JSON"),
        ("[]", "VerdictFileError", "is no verdict; name the directory of a run"),
    ],
)
def test_what_is_no_verdict_of_this_schema_is_refused_by_name(
    tmp_path: Path, command: str, text: str, error: str, says: str
) -> None:
    file = tmp_path / "verdict.json"
    file.write_text(text)
    assert_refused_by_name(command, file, error, says)


def test_what_cannot_be_typed_is_a_usage_error(run: Path, tmp_path: Path) -> None:
    for arguments in (
        ("compare",),
        ("compare", "--canonical", run),
        ("compare", tmp_path / "none"),
        ("compare", run, "--html", tmp_path / "no/such/folder.html"),
        ("report", tmp_path / "none"),
        ("report", run, "--out", "/dev/null/x"),
    ):
        assert untorn(*arguments, cwd=tmp_path).returncode == USAGE, arguments


@pytest.mark.parametrize(
    "command",
    [
        ("report",), ("compare",), ("explain",), ("list",), ("init",),
        ("baseline",), ("baseline", "update"), ("baseline", "check"),
    ],
)  # fmt: skip
def test_help_teaches_with_an_example(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = untorn(*command, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert re.search(rf"Examples?:\s+untorn (verify|{command[0]})", done.stdout)
