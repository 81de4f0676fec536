"""Hypothesis at the wheel: what a hunt tries, keeps to, and does when its time is spent."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import Phase, given, seed
from hypothesis import strategies as st
from untorn_conformance.profiles import DEFAULT, PROFILES, Wheel, examples_of, seed_of
from untorn_conformance.suite import hunting
from untorn_conformance.suite.hunting import Hunt, ShownError

DEV = PROFILES["dev"]


def hunted(
    wheel: Wheel,
    make: Callable[[int], str | None],
    clock: Callable[[], float] = lambda: 0.0,
    examples: int = 100,
) -> Hunt[int, str]:
    """A hunt over numbers up to 10,000."""
    hunt: Hunt[int, str] = Hunt(wheel, clock=clock)
    for drawn in hunt.rounds(examples):

        @drawn.settings  # above the seed, which would take its database
        @seed(drawn.seed)
        @given(st.integers(0, 10_000))
        def machine(number: int) -> None:
            hunt.try_out(number, lambda: make(number))

        try:
            machine()
        except ShownError:
            assert hunt.smallest is not None
            break
    return hunt


def large(number: int) -> str | None:
    return "large" if number >= 1000 else None


def test_what_is_found_is_shrunk() -> None:
    assert hunted(Wheel(profile=DEV, seed=1), large).smallest == (1000, "large")


def test_nothing_is_tried_twice() -> None:
    tried: list[int] = []

    def make(number: int) -> str | None:
        tried.append(number)
        return large(number)

    hunt = hunted(Wheel(profile=DEV, seed=1), make)
    assert len(tried) == len(set(tried)) == hunt.made


def test_nothing_is_tried_when_the_time_to_shrink_is_spent() -> None:
    hunt = hunted(Wheel(profile=replace(DEV, shrink_s=0), seed=1), large)
    assert hunt.made == hunt.made_first
    assert hunt.smallest is not None
    assert large(hunt.smallest[0]) == "large"


def test_time_counts_from_the_first_failure() -> None:
    now_s = iter(range(1_000_000))
    wheel = Wheel(profile=replace(DEV, shrink_s=5), seed=1)
    hunt = hunted(wheel, large, clock=lambda: float(next(now_s)))
    assert hunt.made_first < hunt.made <= hunt.made_first + 5


def test_a_hunt_that_finds_nothing_has_nothing_to_show() -> None:
    hunt = hunted(Wheel(profile=DEV, seed=1), lambda _: None)
    assert (hunt.smallest, hunt.made_first, hunt.made > 50) == (None, 0, True)


def test_the_same_seed_tries_the_same() -> None:
    first, second, other = ([], [], [])  # type: tuple[list[int], list[int], list[int]]
    for tried, number in ((first, 1), (second, 1), (other, 2)):
        hunted(Wheel(profile=DEV, seed=number), lambda each, to=tried: to.append(each))  # type: ignore[misc]
    assert first == second != other


def test_a_long_hunt_is_drawn_in_rounds_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many examples as were asked for, and of the first round the same as of a short hunt."""
    tried: list[int] = []
    short: list[int] = []
    monkeypatch.setattr(hunting, "ROUND", 30)
    wheel = Wheel(profile=DEV, seed=1)
    hunted(wheel, tried.append, examples=100)
    hunted(wheel, short.append, examples=30)
    assert tried[: len(short)] == short
    assert len(tried) == len(set(tried)) > 3 * len(short) - 3


def test_each_round_has_a_seed_of_its_own_and_no_other_hunts() -> None:
    drawn = [list(Hunt(Wheel(profile=DEV, seed=number)).rounds(450)) for number in (1, 2)]
    assert [each.settings.max_examples for each in drawn[0]] == [200, 200, 50]
    assert [each[0].seed for each in drawn] == [1, 2]
    assert len({each.seed for rounds in drawn for each in rounds}) == 6


def test_a_hunt_ends_in_the_round_that_shows_something(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hunting, "ROUND", 30)
    tried: list[int] = []

    def second_round(number: int) -> str | None:
        tried.append(number)
        return "found" if len(tried) == 40 else None

    hunt = hunted(Wheel(profile=replace(DEV, shrink_s=0), seed=1), second_round, examples=1000)
    assert (hunt.made, hunt.smallest) == (40, (tried[39], "found"))


def test_a_failure_is_tried_first_the_next_time(tmp_path: Path) -> None:
    wheel = Wheel(profile=DEV, seed=1, examples=tmp_path / "examples")
    hunted(wheel, large)
    again = hunted(replace(wheel, seed=2), large)
    assert again.made_first == 1


def test_nothing_is_kept_where_nothing_is_found(tmp_path: Path) -> None:
    hunted(Wheel(profile=DEV, seed=1, examples=tmp_path / "examples"), lambda _: None)
    assert not any(tmp_path.rglob("*.*"))


def test_two_backends_keep_their_examples_apart(tmp_path: Path) -> None:
    names = ["reference", "py:a.b:c", "py:a:b.c", "cmd:" + "x" * 300, "cmd:" + "x" * 301]
    folders = {examples_of(tmp_path, each) for each in names}
    assert len({each.name.lower() for each in folders}) == len(names)
    assert {each.parent for each in folders} == {tmp_path / "examples"}


# --- profiles -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROFILES)
def test_shrinking_ends_before_hypothesis_itself_would(name: str) -> None:
    assert PROFILES[name].shrink_s < 300


def test_a_seed_that_was_asked_for_is_taken() -> None:
    assert [seed_of(each, 7) for each in PROFILES.values()] == [7, 7, 7]


def test_every_night_draws_anew_and_a_commit_does_not() -> None:
    assert seed_of(PROFILES["nightly"], None) != seed_of(PROFILES["nightly"], None)
    assert seed_of(PROFILES[DEFAULT], None) == seed_of(PROFILES[DEFAULT], None)


@pytest.mark.parametrize("ci", ["", "true"])
def test_CI_in_the_environment_changes_no_setting(ci: str) -> None:
    """Where it is set Hypothesis' own profile draws the same each time, and keeps nothing."""
    code = """
from pathlib import Path
from untorn_conformance.profiles import PROFILES, Wheel
from untorn_conformance.suite.hunting import Hunt
wheel = Wheel(profile=PROFILES["ci"], seed=1, examples=Path("/nowhere"))
made = Hunt(wheel).settings(7)
print(made.derandomize, made.database is None, made.max_examples, *made.phases)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("CI", None)
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | ({"CI": ci} if ci else {}),
        capture_output=True,
        text=True,
        check=True,
    )
    phases = [Phase.reuse, Phase.generate, Phase.shrink]
    assert ended.stdout.split() == ["False", "False", "7", *map(str, phases)]
