"""`untorn report` and `untorn compare` on storms and campaigns, and on what is none."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from untorn_conformance.meta.command import assert_refused_by_name, untorn
from untorn_reports import browser

DIFFERENT, USAGE, NO_VERDICT = 1, 2, 7


def storm(folder: Path, *, p99_ms: float = 10.0, found: tuple[str, ...] = (), **more: Any) -> Path:
    """A storm's run directory, in as few lines as it can have."""
    folder.mkdir(parents=True)
    document = {
        "untorn_storm": 1,
        "verdict": "fail" if found else "pass",
        "reason": "",
        "backend": "reference",
        "seed": 7,
        "asked_s": 2.0,
        "duration_s": 2.0,
        "rounds": 1,
        "operations": {"lookup": {"hit": 2000}},
        "series": {"bin_s": 1.0, "operations": [1000, 1000], "p99_ms": [p99_ms, p99_ms]},
        "findings": [{"checker": "H1", "message": each} for each in found],
        **more,
    }
    (folder / "storm.json").write_text(json.dumps(document))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return storm(tmp_path / "run")


def test_the_page_of_a_storm_is_written_where_it_is_or_where_it_is_asked_for(
    run: Path, tmp_path: Path
) -> None:
    done = untorn("report", run, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{run}/report.html\n")
    assert "storm of reference" in (run / "report.html").read_text()
    done = untorn("report", run / "storm.json", "--out", "public", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["written"] == [f"{tmp_path}/public/report.html"]


def test_the_page_of_a_campaign_is_written(run: Path, tmp_path: Path) -> None:
    campaign = {
        "untorn_campaign": 1, "verdict": "pass", "reason": "", "backend": "reference", "seed": 1,
        "asked_s": 1.0, "used_s": 1.0,
        "shards": [{"number": 0, "scenario": "storms", "state": "done", "directory": "run"}],
    }  # fmt: skip
    (tmp_path / "campaign.json").write_text(json.dumps(campaign))
    assert untorn("report", tmp_path, cwd=tmp_path).returncode == 0
    page = (tmp_path / "report.html").read_text()
    assert "campaign of reference" in page
    assert "2,000" in page, "the operations of its storm"
    assert not (run / "report.html").exists()


def test_a_counterexample_of_a_campaign_is_read_and_one_that_is_none_says_so(
    tmp_path: Path,
) -> None:
    (tmp_path / "G8.json").write_text("{")
    campaign = {
        "untorn_campaign": 1, "verdict": "fail", "reason": "", "backend": "reference", "seed": 1,
        "asked_s": 1.0, "used_s": 1.0,
        "findings": [{"checker": "bytes", "message": "lost", "history": "G8.json"}],
    }  # fmt: skip
    (tmp_path / "campaign.json").write_text(json.dumps(campaign))
    assert untorn("report", tmp_path, cwd=tmp_path).returncode == 0
    page = (tmp_path / "report.html").read_text()
    assert "it cannot be drawn: " in page
    assert "no history of a storm" not in page


@pytest.mark.parametrize("command", ["report", "compare"])
@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ('{"untorn_storm": 2}', "StormVersionError", "use the untorn that wrote it"),
        ('{"untorn_storm": 1}', "StormFileError", "verdict"),
        ("{", "StormFileError", "is not JSON"),
        ("[]", "StormFileError", "is no storm"),
    ],
)
def test_what_is_no_storm_of_this_version_is_refused_by_name(
    tmp_path: Path, command: str, text: str, error: str, says: str
) -> None:
    file = tmp_path / "storm.json"
    file.write_text(text)
    assert_refused_by_name(command, file, error, says)


def test_a_condition_that_holds_is_a_failure_and_one_that_does_not_is_none(
    run: Path, tmp_path: Path
) -> None:
    slow = storm(tmp_path / "slow", p99_ms=20.0, found=("a torn hit",))
    fail_on = ("--fail-on", "findings,p99>1.5,throughput<0.9")
    done = untorn("compare", run, slow, *fail_on, "--json", cwd=tmp_path)
    assert done.returncode == DIFFERENT
    told = json.loads(done.stdout)
    assert [each["holds"] for each in told["conditions"]] == [True, True, False]
    assert untorn("compare", slow, run, *fail_on, cwd=tmp_path).returncode == 0
    assert untorn("compare", run, slow, cwd=tmp_path).returncode == 0


def test_a_condition_that_cannot_be_judged_is_no_pass(run: Path, tmp_path: Path) -> None:
    bare = storm(tmp_path / "bare", series={"bin_s": 1.0})
    done = untorn("compare", run, bare, "--fail-on", "p99>1.5", "--json", cwd=tmp_path)
    assert done.returncode == NO_VERDICT
    assert json.loads(done.stdout)["error"] == "UnjudgedError"


def test_what_cannot_be_typed_is_a_usage_error(run: Path, tmp_path: Path) -> None:
    (tmp_path / "verdict.json").write_text("{}")
    for arguments in (
        ("compare", run, tmp_path),
        ("compare", run, run, "--canonical"),
        ("compare", run, run, "--html", tmp_path / "matrix.html"),
        ("compare", run, "--fail-on", "findings"),
        ("compare", run, run, run, "--fail-on", "findings"),
        ("compare", run, run, "--fail-on", "p99"),
        ("compare", run, run, "--fail-on", ""),
        ("compare", tmp_path, tmp_path, "--fail-on", "findings"),
        ("report", run, "--out", "/dev/null/x"),
    ):
        assert untorn(*arguments, cwd=tmp_path).returncode == USAGE, arguments


@pytest.mark.skipif(browser.find() is None, reason=f"no Chromium here ({browser.VARIABLE})")
def test_screenshots_are_kept_beside_the_page(run: Path, tmp_path: Path) -> None:
    done = untorn("report", run, "--screenshots", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written = [Path(line) for line in done.stdout.split()]
    assert [path.name for path in written[1:]] == [
        "desk-light.png", "desk-dark.png", "phone-light.png", "phone-dark.png",
    ]  # fmt: skip
    assert {path.parent for path in written[1:]} == {run / "screenshots"}
    assert all(path.stat().st_size for path in written)


def test_without_a_browser_the_page_is_written_and_the_pictures_are_said_to_be_missing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(browser.VARIABLE, os.fspath(tmp_path / "none"))
    done = untorn("report", run, "--screenshots", cwd=tmp_path)
    assert done.returncode == USAGE
    assert done.stderr.startswith("untorn: BrowserError: no Chromium is found")
    assert (run / "report.html").exists()
