"""Each mutant is killed by the rows that it names, for its own reason, and by no others.

A mutant is judged on what it says that it is shown by: plain cases of the suite, a bounded search,
or what deaths leave. The suite passes the reference in the same cases; the searches are within the
bounds to which it searches every cache. `python -m untorn_conformance.meta.matrix` kills them all
and says how long each takes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from untorn_conformance.backends import reference
from untorn_conformance.contract import REQUIREMENTS, Level
from untorn_conformance.meta import killing
from untorn_conformance.meta.killing import (
    NAMES,
    Shot,
    cases_of,
    explore,
    gated_of,
    kill_by,
    kill_by_cases,
    may_fail,
    mutant,
)
from untorn_conformance.mutants import Deaths, Search
from untorn_stress.gate import availability
from untorn_stress.scenario import Locks
from untorn_stress.scenarios import scenario

GATE = availability.probe()
GATED = [(name, shown) for name in NAMES for shown in gated_of(name)]


def is_within(shown: Search | Deaths) -> bool:
    """Whether the suite searches every cache as far as this, from the natural tree."""
    played = scenario(shown.scenario)
    if isinstance(shown, Deaths):
        return True
    if shown.kills:
        return (shown.preemptions, shown.kills, played.locks) == (0, 1, Locks.REAL)
    return shown.preemptions <= played.preemptions


def each_gated(shown_by: Iterable[tuple[str, Search | Deaths]]) -> pytest.MarkDecorator:
    """A test for each; those that go further than the suite are no daily matter."""
    return pytest.mark.parametrize(
        ("name", "shown"),
        [
            pytest.param(
                name,
                shown,
                id=f"{name}-{shown.row}-{shown.scenario}",
                marks=() if is_within(shown) else pytest.mark.nightly,
            )
            for name, shown in shown_by
        ],
    )


def assert_hit(shot: Shot) -> None:
    if shot.unknown:
        pytest.skip(f"UNKNOWN: {shot.unknown}")
    assert not shot.missed, shot.missed


# --- declarations


@pytest.mark.parametrize("name", NAMES)
def test_a_mutant_names_rows_that_there_are(name: str) -> None:
    assert mutant(name).KILLS
    assert REQUIREMENTS.keys() >= may_fail(name)


@pytest.mark.parametrize("name", NAMES)
def test_each_row_that_kills_a_mutant_is_shown(name: str) -> None:
    shown = {each.row for each in mutant(name).SHOWN_BY}
    assert shown == mutant(name).KILLS


@pytest.mark.parametrize("name", NAMES)
def test_a_mutant_says_in_which_words_it_fails(name: str) -> None:
    assert all(each.says for each in mutant(name).SHOWN_BY)


def test_each_row_that_the_suite_judges_kills_a_mutant() -> None:
    judged = {
        row
        for row, requirement in REQUIREMENTS.items()
        if requirement.level is Level.MUST
        and not requirement.untested
        and requirement.applies_to(reference.CAPABILITIES)
    }
    killing = {row for name in NAMES for row in mutant(name).KILLS}
    assert judged <= killing, f"no mutant is killed by {sorted(judged - killing)}"


# --- what shows them


@pytest.mark.parametrize("name", [name for name in NAMES if cases_of(name)])
def test_a_mutant_fails_the_cases_that_show_it_and_no_others(name: str) -> None:
    assert_hit(kill_by_cases(name))


@each_gated(GATED)
def test_the_schedules_or_deaths_that_show_a_mutant_are_found(
    name: str, shown: Search | Deaths, tmp_path: Path
) -> None:
    assert_hit(kill_by(name, shown, tmp_path))


def test_the_reference_is_not_killed_as_a_mutant_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(killing, "backend_of", lambda _: "reference")
    assert "other cases fail than those that show it: {}" in kill_by_cases("no_lease").missed
    if GATE.ok:
        (shown,) = gated_of("locks_believed")
        assert kill_by("locks_believed", shown, tmp_path).missed == "found was []"


def test_a_mutant_is_not_killed_by_the_rows_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(killing, "may_fail", lambda _: frozenset({"P1"}))
    assert kill_by_cases("excess_unsaid").missed == "the rows that fail are ['G2']"


@pytest.mark.skipif(not GATE.ok, reason=f"UNKNOWN: the gate cannot be used here: {GATE.reason}")
@each_gated((name, shown) for name, shown in GATED if not is_within(shown))
def test_the_reference_passes_a_search_beyond_those_of_the_suite(
    name: str, shown: Search, tmp_path: Path
) -> None:
    del name
    explored = explore("reference", shown, tmp_path, stop_at_first=False)
    assert (explored.exhaustive, explored.found) == (True, ())
