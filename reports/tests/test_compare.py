"""The matrix: each requirement and run has a cell, and only a pass is called one."""

import json
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from untorn_conformance.verdict import Outcome
from untorn_reports.compare import Comparison, compare, render, text, to_json


@pytest.fixture
def other(document_of: Callable[..., Any]) -> dict[str, Any]:
    """Another backend's verdict, on fewer requirements."""
    document: dict[str, Any] = document_of(("P1.whole_or_absent", Outcome.PASS, ""))
    document["requirements"] = document["requirements"][:2]
    document["provenance"] |= {"backend": "mine", "backend_version": "3"}
    return document


@pytest.fixture
def both(document: dict[str, Any], other: dict[str, Any]) -> Comparison:
    return compare([("runs/a", document), ("runs/b", other)])


def matrix(shown: str) -> dict[str, list[str]]:
    rows = [line.replace("not judged", "not-judged").split() for line in shown.splitlines()]
    return {row[0]: row[1:] for row in rows if row}


def test_a_column_is_a_backend_with_its_verdict(both: Comparison) -> None:
    lines = text(both).splitlines()
    assert lines[0] == "1  reference 0.1.0: invalid"
    assert lines[3] == "2  mine 3: invalid"
    assert matrix(text(both))["verdict"] == ["invalid", "invalid"]


def test_a_cell_is_an_outcome_and_what_was_not_judged_says_so(
    document: dict[str, Any], both: Comparison
) -> None:
    rows = matrix(text(both))
    for row in document["requirements"]:
        assert rows[row["id"]][0] == row["outcome"]
    assert rows["P1"] == ["FAIL", "PASS"]
    assert rows["P3"] == ["UNKNOWN", "not-judged"]
    assert "they differ in: P1 " in text(both)


def test_rows_are_in_the_order_of_the_contract_whichever_run_has_them(
    document: dict[str, Any], other: dict[str, Any]
) -> None:
    ids = [line.id for line in compare([("b", other), ("a", document)]).lines]
    assert ids == [row["id"] for row in document["requirements"]]


def test_equal_runs_differ_in_nothing(document: dict[str, Any]) -> None:
    assert text(compare([("a", document), ("b", document)])).endswith("they differ in: nothing\n")


def test_the_page_shows_the_same_cells_and_only_a_pass_as_one(both: Comparison) -> None:
    cells: list[tuple[str, str]] = []

    class Cells(HTMLParser):
        classes = ""

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in {"script", "link", "img", "iframe"}
            assert not {"src", "href"} & set(dict(attrs))
            self.classes = (dict(attrs).get("class") or "") if tag == "span" else ""

        def handle_data(self, data: str) -> None:
            if "outcome" in self.classes:
                cells.append((self.classes, data))
                self.classes = ""

    Cells().feed(render(both))
    assert {word for _, word in cells} == {*Outcome, "not judged"} - {"NOT_APPLICABLE"}
    for classes, word in cells:
        assert ("pass" in classes.split()) == (word == "PASS")


def test_the_values_are_json_with_a_schema(both: Comparison) -> None:
    told = json.loads(json.dumps(to_json(both)))
    assert told["schema"] == "untorn/comparison/1"
    p3 = next(row for row in told["requirements"] if row["id"] == "P3")
    assert [cell["outcome"] for cell in p3["cells"]] == ["UNKNOWN", None]
    assert p3["differs"] is True


def test_different_versions_of_the_contract_are_told(
    document: dict[str, Any], other: dict[str, Any]
) -> None:
    other["contract"]["version"] = "2.0"
    assert "different versions of the contract: 1.0, 2.0" in text(
        compare([("a", document), ("b", other)])
    )


def test_a_terminal_gets_nothing_to_obey(document: dict[str, Any]) -> None:
    document["provenance"]["backend"] = "\x1b[2J"
    assert "\x1b" not in text(compare([("\x1b", document)]))
