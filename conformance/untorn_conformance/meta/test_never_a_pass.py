"""What was skipped, crashed or did not run is a pass in no output of a run.

One run of the real pytest has a case of every kind. Each output is read as its readers do: the
page by an HTML parser, JUnit by an XML parser, and so on. Seen to fail when a case that did not
run had no child in JUnit, when UNKNOWN was drawn in the class of a pass, when Markdown left
UNKNOWN out, and when the comparison called an UNTESTED row a pass.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from untorn_conformance.meta.command import untorn
from untorn_conformance.meta.inner_run import EVERY_OUTCOME, OUTCOMES, Ran, run_pytest

SUITE = (
    EVERY_OUTCOME
    + """
@requires("C1", evidence="none")
def test_C1_kills_its_own_process(farm):
    farm.worker()
    os.kill(os.getpid(), signal.SIGKILL)

@requires("P8", evidence="none")
def test_P8_is_known_to_fail(farm):
    assert False

@requires("E1", evidence="none")
def test_E1_is_excluded(farm):
    pass

@requires("E2", evidence="none")
def test_E2_is_filtered(farm):
    pass

@requires("R2", evidence="none")
def test_R2_is_stale(farm):
    pass

@requires("R3", evidence="none")
@pytest.mark.skipif(True, reason="by a mark")
def test_R3_is_skipped_by_a_mark(farm):
    pass

@requires("R6", evidence="none")
@pytest.mark.xfail(reason="by a mark")
def test_R6_is_expected_to_fail(farm):
    assert False
"""
)

BASELINE = """
schema = "untorn/baseline/1"
[[deviation]]
case = "P8.is_known_to_fail"
reason = "known"
issue = "#1"
until = 2099-01-01
[[deviation]]
case = "R2.is_stale"
reason = "known"
issue = "#1"
until = 2099-01-01
[[exclude]]
case = "E1.*"
reason = "not here"
"""

EXPECTED = OUTCOMES | {
    "C1.kills_its_own_process": "NOT_RUN",
    "P8.is_known_to_fail": "DEVIATION",
    "E1.is_excluded": "UNTESTED",
    "E2.is_filtered": "UNTESTED",
    "R2.is_stale": "HARNESS_ERROR",
    "R3.is_skipped_by_a_mark": "UNKNOWN",
    "R6.is_expected_to_fail": "FAIL",
}
PASSED = {case for case, outcome in EXPECTED.items() if outcome == "PASS"}
JUNIT = {None: "PASS", "failure": "FAIL", "error": "ERROR", "skipped": "SKIPPED"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A run that is over, and its directory."""

    ran: Ran
    path: Path

    @property
    def rows(self) -> dict[str, str]:
        return {row["id"]: row["outcome"] for row in self.ran.document["requirements"]}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("never")
    (folder / "baseline.toml").write_text(BASELINE)
    options = (
        "-n",
        "2",
        "--baseline",
        "baseline.toml",
        "--deselect",
        "test_suite.py::test_E2_is_filtered",
    )
    ran = run_pytest(folder, *options, suite=SUITE)
    return Told(ran=ran, path=folder / "runs" / "latest")


@pytest.fixture(scope="module", params=["written by the run", "written by untorn report"])
def reports(request: pytest.FixtureRequest, told: Told, tmp_path_factory: Any) -> Path:
    """Where the reports are: those of the run, and those that are rendered from its verdict."""
    if request.param == "written by the run":
        return told.path
    out: Path = tmp_path_factory.mktemp("again")
    done = untorn("report", told.path, "--out", out, cwd=out)
    assert done.returncode == 0, done.stderr
    return out


def test_the_run_has_a_case_of_every_kind(told: Told) -> None:
    assert told.ran.outcomes == EXPECTED
    assert told.ran.document["word"] == "invalid"


def test_in_json_only_a_pass_rests_on_evidence_of_a_pass(told: Told) -> None:
    for case in told.ran.document["cases"]:
        if case["outcome"] not in {"PASS", "FAIL", "DEVIATION"}:
            assert case["evidence"]["kind"] == "UNTESTED"
    passed = {row for row, outcome in told.rows.items() if outcome == "PASS"}
    assert passed == {"P1", "G5"}


def junit(path: Path, suite: str) -> dict[str, str]:
    root = ET.fromstring((path / "junit.xml").read_bytes())
    (own,) = [each for each in root if str(each.get("name")).endswith(f": {suite}")]
    found = {}
    for test in own.iter("testcase"):
        tags = [each.tag for each in test]
        assert len(tags) <= 1
        found[str(test.get("name"))] = JUNIT[tags[0] if tags else None]
    return found


def test_in_junit_only_a_pass_has_no_child(told: Told, reports: Path) -> None:
    cases, rows = junit(reports, "cases"), junit(reports, "requirements")
    assert cases.keys() == EXPECTED.keys()
    assert {name for name, word in cases.items() if word == "PASS"} == PASSED
    assert {name for name, word in rows.items() if word == "PASS"} == {
        name for name, outcome in told.rows.items() if outcome == "PASS"
    }
    assert cases["C1.kills_its_own_process"] == "ERROR"
    assert cases["P3.is_unknown"] == cases["P8.is_known_to_fail"] == "SKIPPED"


class Outcomes(HTMLParser):
    """What is drawn as an outcome, with what is named beside it, in the order of the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.drawn: list[tuple[str, str]] = []
        self.named: list[tuple[str, str]] = []
        self._inside = ("", "")
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = (tag, dict(attrs).get("class") or "")

    def handle_data(self, data: str) -> None:
        tag, classes = self._inside
        if "outcome" in classes.split():
            self.drawn.append((classes, data))
        elif tag == "code" and self.drawn:
            self.named.append((data, self.drawn[-1][1]))
        self._inside = ("", "")


def test_in_the_page_each_case_has_its_outcome_and_only_a_pass_its_class(reports: Path) -> None:
    page = Outcomes((reports / "report.html").read_text(encoding="utf-8"))
    shown = {name: word for name, word in page.named if name in EXPECTED}
    assert shown == EXPECTED
    for classes, word in page.drawn:
        assert ("pass" in classes.split()) == (word == "PASS"), (classes, word)


def lines_about(text: str, words: set[str]) -> Iterator[tuple[str, str]]:
    """Each line that begins with an outcome, and what it is about."""
    for line in text.splitlines():
        found = re.match(r"\|? ?\**([A-Z_]+)\**[ |]+([A-Z][0-9]+)", line.replace("\\", ""))
        if found and found.group(1) in words:
            yield found.group(1), found.group(2)


def test_in_markdown_and_text_what_is_no_pass_is_named_with_its_outcome(
    told: Told, reports: Path
) -> None:
    words = {"HARNESS_ERROR", "NOT_RUN", "FAIL", "UNKNOWN", "BLOCKED", "DEVIATION", "PASS"}
    expected = {(outcome, row) for row, outcome in told.rows.items() if outcome in words - {"PASS"}}
    markdown = (reports / "summary.md").read_text(encoding="utf-8")
    for text in (markdown, told.ran.text.partition("= conformance =")[2]):
        assert set(lines_about(text, words)) == expected
    untested = {row for row, outcome in told.rows.items() if outcome == "UNTESTED"}
    listed = markdown.partition("Untested, no passes:")[2]
    assert untested <= set(re.findall(r"[A-Z][0-9]+", listed))


def test_pytest_counts_as_passed_no_more_than_passed(told: Told) -> None:
    """Two cases pass their call and fail in teardown: to pytest both passed, and are errors."""
    counted = re.search(r"(\d+) passed", told.ran.text)
    assert counted is not None
    in_teardown = {"G3.has_a_broken_teardown", "R2.is_stale"}
    assert int(counted.group(1)) == len(PASSED | in_teardown) + 1  # and the test that is no case


@pytest.mark.parametrize("form", ["text", "json", "html"])
def test_in_a_comparison_only_a_pass_is_one(told: Told, tmp_path: Path, form: str) -> None:
    page = tmp_path / "matrix.html"
    options = {"text": (), "json": ("--json",), "html": ("--html", str(page))}
    done = untorn("compare", told.path, told.path, *options[form], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    if form == "text":
        rows = [line.split() for line in done.stdout.splitlines()]
        found = {row[0]: row[1] for row in rows if len(row) == 3 and row[0] in told.rows}
    elif form == "json":
        lines = json.loads(done.stdout)["requirements"]
        found = {line["id"]: line["cells"][0]["outcome"] for line in lines}
    else:
        drawn = Outcomes(page.read_text(encoding="utf-8")).drawn
        assert all(("pass" in classes.split()) == (word == "PASS") for classes, word in drawn)
        words = [word for _, word in drawn[: 2 * len(told.rows)]]
        found = dict(zip(told.rows, words[::2], strict=True))
    assert found == told.rows
