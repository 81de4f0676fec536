"""Canaries: caches that are known to be broken, judged as any other and in the same run.

A run in which one of them passes could not have found anything: its verdict is *invalid*.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from untorn_conformance import beginnings, registry
from untorn_conformance.plugin import TRIAL, canary, unknown
from untorn_conformance.suite import test_publish
from untorn_conformance.trial import Trial
from untorn_stress.explore import Budget
from untorn_stress.explorer import Exploration, bounded
from untorn_stress.gate import availability
from untorn_stress.scenarios import scenario

TAKES_EMPTY_FRAMES = "py:untorn_conformance.mutants.empty_frames:factory"
CHECKS_THEN_REMOVES = "py:untorn_conformance.specimens.first_posted:factory"
THE_RACE = ("P2", "winners")
MOST_RUNS = 60


@pytest.fixture
def broken(request: pytest.FixtureRequest) -> Callable[[str], Trial]:
    """This run, with another backend."""
    trial = request.config.stash[TRIAL]
    return lambda spec: trial.of(registry.parse(spec))


@canary(says="Published(")
def test_an_empty_frame_is_noticed(broken: Callable[[str], Trial]) -> None:
    """By a plain case, on processes of a backend."""
    trial = broken(TAKES_EMPTY_FRAMES)
    farm = trial.farm(trial.directories[0])
    try:
        test_publish.test_P8_no_entry_of_broken_frames(farm, test_publish.zero_length)
    finally:
        farm.close()


@canary(says="the race was found")
def test_a_race_is_found(broken: Callable[[str], Trial]) -> None:
    """By a search, at the gate: check, then remove, with nothing planted."""
    gate = availability.probe()
    if not gate.ok:
        unknown(f"the gate cannot be used here: {gate.reason}; {gate.advice}")
    trial, played = broken(CHECKS_THEN_REMOVES), scenario("writer-writer")
    with trial.laboratory(trial.directories[0]) as laboratory:
        for start in beginnings.crash_states(laboratory):
            scheduler, described = bounded(1)
            explored = Exploration(
                laboratory,
                played,
                start,
                scheduler,
                described=described,
                budget=Budget(runs=MOST_RUNS),
            ).run()
            found = {(each.finding.requirement, each.finding.rule) for each in explored.found}
            assert THE_RACE not in found, "the race was found"
