"""Scenarios whose workers extract: drawn where a backend can, and never passed over in silence."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from untorn_conformance import registry, subjects
from untorn_conformance.meta.asking import FIRST, explore, replay
from untorn_fixtures.errors import FixtureError
from untorn_stress.gate.availability import probe
from untorn_stress.token import Token, parse_schedule

pytestmark = pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")


@pytest.fixture
def token() -> Token:
    """Two extractions, one after the other."""
    hello = subjects.ask_hello(registry.parse("reference"), Path(tempfile.gettempdir()))
    return Token(
        backend="reference",
        identity=f"{hello.name}@{hello.version}",
        scenario="single-flight",
        tree="empty",
        bound="pct d=2 seed=1901",
        choices=(),
    )


def test_a_backend_that_extracts_is_explored_extracting(tmp_path: Path) -> None:
    done = explore("reference", tmp_path, "single-flight", scheduler="pct", runs=2)
    assert (done.exit_code, done.document["not_applicable"]) == (0, [])
    assert [(each["scenario"], each["runs"]) for each in done.document["searches"]] == [
        ("single-flight", 2)
    ]


def test_no_search_bounds_preemptions_of_decoders(tmp_path: Path) -> None:
    done = explore("reference", tmp_path, "single-flight", runs=1)
    assert done.document["searches"][0]["scheduler"].startswith("pct d=")
    assert done.exit_code == 6, "one of twelve was drawn"


def test_scenarios_none_of_which_can_run_leave_all_open(tmp_path: Path) -> None:
    done = explore(FIRST, tmp_path, "single-flight")
    assert done.exit_code == 6
    assert done.text.splitlines()[0] == "not applicable: single-flight"
    assert done.text.splitlines()[-1] == (
        f"UNKNOWN: {FIRST} declares too little: single-flight needs extract, single-flight"
    )


@pytest.fixture
def no_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_scenario: object) -> str:
        raise FixtureError("no ffmpeg: there is none here")

    monkeypatch.setattr(subjects, "clip_of", none)


@pytest.mark.usefixtures("no_clip")
def test_a_budget_that_ended_before_asks_for_no_clip(tmp_path: Path) -> None:
    done = explore("reference", tmp_path, "writer-writer", "single-flight", tree="empty", runs=3)
    assert (done.exit_code, done.document["stopped"][:16]) == (6, "the budget ended")


@pytest.mark.usefixtures("no_clip")
def test_a_clip_that_cannot_be_made_leaves_it_open(tmp_path: Path) -> None:
    done = explore("reference", tmp_path, "single-flight")
    assert (done.exit_code, "UNKNOWN: no ffmpeg: there is none here" in done.text) == (6, True)


def test_a_token_of_extractions_is_replayed(token: Token) -> None:
    done = replay(token)
    assert done.exit_code == 0, done.text
    made = parse_schedule(done.document["run"]["schedule"])
    again = replay(replace(token, choices=made))
    assert (again.exit_code, again.document["run"]) == (0, done.document["run"])
