"""Canonical verdicts: what differs by chance is gone, what is judged is not."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from untorn_conformance.verdict import Outcome
from untorn_reports.canonical import canonical, differences, text


def test_times_and_numbers_of_measurements_do_not_count(document: dict[str, Any]) -> None:
    other = copy.deepcopy(document)
    other["cases"][0]["duration_s"] = 99.0
    other["measurements"][0]["numbers"]["cold_s"] = 99.0
    other["measurements"].reverse()
    other["provenance"] |= {"duration_s": 7}
    assert text(other) == text(document)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("in /tmp/untorn-1a/x", "in /var/untorn-2b/x"),
        ("pid 12 died", "pid 34567 died"),
        ("<Farm object at 0x7f2f9056f910>", "<Farm object at 0x7fbe3fd8d910>"),
        ("from '/a/b' to '/a/c'", "from '/x/y' to '/z'"),
    ],
)
def test_paths_pids_and_addresses_do_not_count(
    document_of: Callable[..., Any], one: str, other: str
) -> None:
    assert text(document_of(("P1.a", Outcome.FAIL, one))) == text(
        document_of(("P1.a", Outcome.FAIL, other))
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("frame_00002.png", "frame_00003.png"),
        ("from '/a' to '/a'", "from '/a' to '/b'"),
        ("errno 28", "errno 13"),
        ("and/or", "and/nor"),
    ],
)
def test_what_is_judged_counts(document_of: Callable[..., Any], one: str, other: str) -> None:
    assert text(document_of(("P1.a", Outcome.FAIL, one))) != text(
        document_of(("P1.a", Outcome.FAIL, other))
    )


def test_an_outcome_counts_and_the_place_is_named(document: dict[str, Any]) -> None:
    other = copy.deepcopy(document)
    other["cases"][1]["outcome"] = "UNKNOWN"
    assert list(differences(canonical(document), canonical(other))) == [
        'cases[1].outcome: "PASS" and "UNKNOWN"'
    ]


def test_another_document_is_refused() -> None:
    with pytest.raises(ValueError, match="not a verdict"):
        canonical({"schema": "junit"})
