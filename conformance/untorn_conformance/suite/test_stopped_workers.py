"""Chapter L: a worker stopped for good before each of its calls, and what others do meanwhile."""

from __future__ import annotations

import pytest
from untorn_conformance import beginnings
from untorn_conformance.cases import unknown
from untorn_conformance.plugin import requires
from untorn_stress.explore import Budget, Search
from untorn_stress.explorer import OUT_OF_HAND
from untorn_stress.laboratory import Laboratory
from untorn_stress.run import Run
from untorn_stress.scenarios import scenario
from untorn_stress.schedulers.stopped import StoppedActor

MOST_STEPS = 2000
"""Alone no worker of these scenarios takes 200; waiting, it may look now and then, but not spin."""

MEETINGS = [
    ("writer-writer", "A"),
    ("repair", "A"),
    ("writer-collector", "A"),
    ("writer-collector", "B"),
    ("reader-collector", "A"),
    ("reader-collector", "B"),
    ("collector-collector", "A"),
]


@requires("L4", "L2", evidence="one of two workers stopped for good before each of its calls")
@pytest.mark.parametrize(("name", "stopped"), MEETINGS, ids=[f"{n}-{s}" for n, s in MEETINGS])
def test_L4_nobody_spins_or_waits_for_a_stopped_worker(
    name: str, stopped: str, laboratory: Laboratory
) -> None:
    """Every verb of the other worker is answered, in a bounded number of steps."""
    played = scenario(name)
    start = beginnings.natural(laboratory, played.tree)
    system = laboratory.system(played, start, offers_yielded=True)
    scheduler = StoppedActor(stopped, most_steps=MOST_STEPS)
    try:
        for made in Search(system, scheduler, Budget()):
            where = f"{stopped} stopped after {scheduler.stopped_after} steps"
            assert not scheduler.spinning, f"{scheduler.spinning} spins: {where}"
            assert waiting(made.run, stopped) == [], where
    except OUT_OF_HAND as error:
        unknown(str(error))


def waiting(run: Run, stopped: str) -> list[str]:
    """What others were asked and did not answer."""
    return [
        f"{each.worker} waits in {each.verb}"
        for each in run.operations
        if each.worker != stopped and each.ended < 0
    ]
