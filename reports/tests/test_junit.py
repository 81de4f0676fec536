"""JUnit: only a pass has no child, nothing vanishes, and it is XML whatever a backend says."""

import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import pytest
from untorn_conformance.verdict import Outcome
from untorn_reports.junit import render

CHILD = {
    "PASS": None,
    "FAIL": "failure",
    "HARNESS_ERROR": "error",
    "NOT_RUN": "error",
    "UNKNOWN": "skipped",
    "NOT_APPLICABLE": "skipped",
    "UNTESTED": "skipped",
    "BLOCKED": "skipped",
    "DEVIATION": "skipped",
}

# What Jenkins' xunit plugin publishes (junit-10.xsd): element, its attributes, its children.
SHAPE = {
    "testsuites": ({"name"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "skipped", "time"},
        {"properties", "testcase"},
    ),
    "properties": (set(), {"property"}),
    "property": ({"name", "value"}, set()),
    "testcase": ({"classname", "name", "time"}, {"failure", "error", "skipped"}),
    "failure": ({"type", "message"}, set()),
    "error": ({"type", "message"}, set()),
    "skipped": ({"type", "message"}, set()),
}


def parsed(document: dict[str, Any]) -> ET.Element:
    return ET.fromstring(render(document).encode("utf-8"))


def cases_in(suites: ET.Element, suite: str) -> dict[str, ET.Element]:
    (own,) = [each for each in suites if str(each.get("name")).endswith(f": {suite}")]
    return {str(test.get("name")): test for test in own.iter("testcase")}


def child(test: ET.Element) -> str | None:
    tags = [each.tag for each in test]
    assert len(tags) <= 1
    return tags[0] if tags else None


def test_each_case_has_the_child_of_its_outcome(document: dict[str, Any]) -> None:
    tests = cases_in(parsed(document), "cases")
    assert {name: child(test) for name, test in tests.items()} == {
        case["case"]: CHILD[case["outcome"]] for case in document["cases"]
    }


def test_each_requirement_has_the_child_of_its_outcome(document: dict[str, Any]) -> None:
    """One that is BLOCKED or has no case at all would else look as if all were well."""
    tests = cases_in(parsed(document), "requirements")
    assert {name: child(test) for name, test in tests.items()} == {
        row["id"]: CHILD[row["outcome"]] for row in document["requirements"]
    }
    told = {row["outcome"] for row in document["requirements"]}
    assert told == set(Outcome) - {Outcome.NOT_APPLICABLE}


def test_a_case_is_named_by_backend_and_first_requirement(document: dict[str, Any]) -> None:
    test = cases_in(parsed(document), "cases")["P1.whole_or_absent"]
    assert test.get("classname") == "reference.P1"
    (failure,) = test
    assert (failure.get("type"), failure.get("message")) == (
        "FAIL",
        "FAIL: seen: frame_00002.png",
    )
    assert failure.text == "seen: frame_00002.png\nmissing: frame_00003.png"


def test_the_counts_are_those_of_the_children(document: dict[str, Any]) -> None:
    for suite in parsed(document):
        told = [child(test) for test in suite.iter("testcase")]
        assert suite.get("tests") == str(len(told))
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert suite.get(name) == str(told.count(tag))


def test_the_shape_is_that_of_the_schema(document: dict[str, Any]) -> None:
    for element in parsed(document).iter():
        attributes, children = SHAPE[element.tag]
        assert set(element.keys()) == attributes
        assert {each.tag for each in element} <= children


def test_the_verdict_is_a_property_of_each_suite(document: dict[str, Any]) -> None:
    for suite in parsed(document):
        told = {each.get("name"): each.get("value") for each in suite.iter("property")}
        assert told["verdict"] == "invalid"
        assert told["command"] == document["provenance"]["command"]


def test_under_require_evidence_an_unknown_is_a_failure(document: dict[str, Any]) -> None:
    document["provenance"]["require_evidence"] = True
    tests = cases_in(parsed(document), "cases")
    assert child(tests["P3.untouched"]) == "failure"
    assert child(tests["P4.stray_file"]) == "skipped"


@pytest.mark.parametrize("hostile", ["\x00\x1b[2J]]>", "\udce9", "\ufffe", "<failure/>&amp;"])
def test_it_is_xml_whatever_a_backend_says(document_of: Callable[..., Any], hostile: str) -> None:
    document = document_of(("P1.a", Outcome.FAIL, hostile))
    document["provenance"]["backend"] = hostile
    test = cases_in(parsed(document), "cases")["P1.a"]
    assert child(test) == "failure"
    assert not list(test[0])


def test_a_case_of_no_requirement_is_there(document: dict[str, Any]) -> None:
    document["cases"][0]["requirements"] = []
    assert cases_in(parsed(document), "cases")["P1.whole_or_absent"].get("classname") == (
        "reference"
    )


def test_a_canary_is_no_case_of_the_backend(document: dict[str, Any]) -> None:
    document["cases"][0] |= {"case": "canary.a_race_is_found", "requirements": []}
    canary = cases_in(parsed(document), "cases")["canary.a_race_is_found"]
    assert canary.get("classname") == "untorn.canary"
