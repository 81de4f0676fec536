"""The verdict as JUnit's XML, in the form that Jenkins' xunit plugin publishes as a schema.

Two suites: the cases (classname ``BACKEND.ROW``, name the case), and the requirements, since one
may be BLOCKED or UNTESTED though each of its cases passed, or it has none.

Rule 1: only PASS is a test case without a child.
Rule 2: what says nothing about the backend is an error; what is not decided is skipped.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from untorn_conformance.verdict import Outcome

from untorn_reports.view import View, view_of

_CHILDREN: Final[Mapping[Outcome, str]] = {
    Outcome.FAIL: "failure",
    Outcome.HARNESS_ERROR: "error",
    Outcome.NOT_RUN: "error",
    Outcome.UNKNOWN: "skipped",
    Outcome.NOT_APPLICABLE: "skipped",
    Outcome.UNTESTED: "skipped",
    Outcome.BLOCKED: "skipped",
    Outcome.DEVIATION: "skipped",
}
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 has no place for (https://www.w3.org/TR/xml/#charsets)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Test:
    classname: str
    name: str
    outcome: Outcome
    detail: str
    duration_s: float = 0.0


def render(document: Mapping[str, Any]) -> str:
    """Render a ``verdict.json`` as JUnit's XML. Raises ValueError for another document."""
    view = view_of(document)
    suites = ET.Element("testsuites", name=_legal(view.backend))
    _suite(suites, "cases", _cases(view), view, document["provenance"])
    _suite(suites, "requirements", _requirements(view), view, document["provenance"])
    ET.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(suites, "unicode") + "\n"


def _cases(view: View) -> Iterable[_Test]:
    for case in view.verdict.cases:
        yield _Test(
            classname="untorn.canary"
            if case.is_canary
            else ".".join((view.backend, *case.requirements[:1])),
            name=case.case,
            outcome=case.outcome,
            detail=case.detail,
            duration_s=case.duration_s,
        )


def _requirements(view: View) -> Iterable[_Test]:
    for row in view.verdict.requirements:
        yield _Test(
            classname=f"{view.backend}.requirements",
            name=row.id,
            outcome=row.outcome,
            detail=row.reason,
        )


def _suite(
    suites: ET.Element,
    name: str,
    tests: Iterable[_Test],
    view: View,
    provenance: Mapping[str, Any],
) -> None:
    own = list(tests)
    strict = bool(provenance.get("require_evidence"))
    children = [_child(test.outcome, strict=strict) for test in own]
    suite = ET.SubElement(
        suites,
        "testsuite",
        name=_legal(f"{view.backend}: {name}"),
        tests=str(len(own)),
        failures=str(children.count("failure")),
        errors=str(children.count("error")),
        skipped=str(children.count("skipped")),
        time=f"{sum(test.duration_s for test in own):.3f}",
    )
    properties = ET.SubElement(suite, "properties")
    for key, value in _properties(view):
        ET.SubElement(properties, "property", name=_legal(key), value=_legal(value))
    for test, child in zip(own, children, strict=True):
        _add(suite, test, child)


def _properties(view: View) -> Sequence[tuple[str, str]]:
    verdict = view.verdict
    return (
        ("verdict", verdict.word.value),
        ("profile", verdict.profile),
        ("command", view.command),
        *view.provenance,
        *view.more_provenance,
    )


def _child(outcome: Outcome, *, strict: bool) -> str:
    """The element below a test case; with ``--require-evidence`` an UNKNOWN is a failure."""
    if outcome is Outcome.PASS:
        return ""
    return "failure" if strict and outcome is Outcome.UNKNOWN else _CHILDREN[outcome]


def _add(suite: ET.Element, test: _Test, child: str) -> None:
    element = ET.SubElement(
        suite,
        "testcase",
        classname=_legal(test.classname),
        name=_legal(test.name),
        time=f"{test.duration_s:.3f}",
    )
    if child:
        first = test.detail.partition("\n")[0]
        message = _legal(f"{test.outcome}: {first}" if first else str(test.outcome))
        told = ET.SubElement(element, child, type=str(test.outcome), message=message)
        told.text = _legal(test.detail)


def _legal(text: str) -> str:
    """Show what XML has no place for as escapes."""
    return _NOT_XML.sub(lambda match: ascii(match.group())[1:-1], text)
