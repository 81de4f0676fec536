"""Chapter C: everything dies at each step of one worker, and fresh ones judge what is left.

Each stop of a run leaves a tree; each distinct one is looked at (C1), published to (C2) and, when
it is old, collected (C3). From what a crash leaves whoever recovers is killed at each step again
(C4). A finding is made again by SIGKILL, and its timeline ends with the line that replays it.

Who writes first is held at each write, too, so that files are there that hold nothing yet; who
recovers, at names and locks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from untorn_conformance import beginnings, findings
from untorn_conformance.cases import begins
from untorn_conformance.plugin import TRIAL, Grounds, requires, unknown
from untorn_conformance.verdict import EvidenceClass
from untorn_stress.crash_states import CrashStates, Judged, evidence
from untorn_stress.gate import availability
from untorn_stress.grain import Grain
from untorn_stress.laboratory import Laboratory
from untorn_stress.scenario import Scenario
from untorn_stress.scenarios import OUTGROWN, RECOVERY, SOURCES, alone, scenario

NATURAL = [alone(each) for each in SOURCES]
COLLECT = scenario("collect-alone")
RECOVERING = [
    pytest.param(RECOVERY, 0, 2, id="publish-1-of-2"),
    pytest.param(RECOVERY, 1, 2, id="publish-2-of-2"),
    pytest.param(COLLECT, 0, 1, id="collect"),
]
"""Who goes to work on what a crash left, and on which part of the trees: so cases are short."""

MOST_TREES = 60
"""From how many crash states a case recovers, of the reference all 35; the rest is SAMPLED."""

SAMPLED_EVERY = 100
"""One stop in so many of a recovery is made again by SIGKILL; of the natural runs, one in ten."""


@pytest.fixture
def fine_laboratory(request: pytest.FixtureRequest) -> Iterator[Laboratory]:
    """The backend under the gate, held at what it reads and writes, too."""
    gate = availability.probe()
    if not gate.ok:
        unknown(f"the gate cannot be used here: {gate.reason}; {gate.advice}")
    trial = request.config.stash[TRIAL]
    with trial.laboratory(trial.directories[0], grain=Grain.DATA) as opened:
        yield opened


@requires("C1", "C2", "C3", evidence="all that death leaves of one worker at each of its steps")
@pytest.mark.parametrize("played", NATURAL, ids=lambda each: each.name)
def test_everything_dies(
    played: Scenario,
    fine_laboratory: Laboratory,
    grounds: Grounds,
    request: pytest.FixtureRequest,
) -> None:
    """Before each step of a publish, an adopt, a repair, a collect and a lookup."""
    start = beginnings.natural(fine_laboratory, played.tree)
    settle([CrashStates(fine_laboratory).judge(played, start)], grounds, request, ("C1", "C2"))


@requires("C1", "C2", "C3", "G2", evidence="all that death leaves of who publishes more than was")
def test_G2_a_death_leaves_nothing_uncounted(
    fine_laboratory: Laboratory, grounds: Grounds, request: pytest.FixtureRequest
) -> None:
    """Of an entry whose key's last one was smaller: all is held to be stored that is read."""
    start = beginnings.natural(fine_laboratory, OUTGROWN.tree)
    judged = CrashStates(fine_laboratory).judge(OUTGROWN, start)
    if judged.not_weighed:
        grounds.rows = ("C1", "C2", "C3")
    settle([judged], grounds, request, ("C1", "C2"))


@begins(4)
@requires("C4", evidence="all that death leaves of who recovers, from all that a death had left")
@pytest.mark.parametrize(("played", "part", "parts"), RECOVERING)
def test_C4_everything_dies_again(
    played: Scenario,
    part: int,
    parts: int,
    laboratory: Laboratory,
    grounds: Grounds,
    request: pytest.FixtureRequest,
) -> None:
    """Before each step of who publishes, or collects, in the tree that a crash has left."""
    every = beginnings.crash_states(laboratory)[part::parts]
    states = CrashStates(laboratory, sampled_every=SAMPLED_EVERY)
    judged = [states.judge(played, start) for start in every[:MOST_TREES]]
    settle(judged, grounds, request, ("C4",), is_whole=len(every) <= MOST_TREES)


def settle(
    judged: list[Judged],
    grounds: Grounds,
    request: pytest.FixtureRequest,
    without_debris: tuple[str, ...],
    *,
    is_whole: bool = True,
) -> None:
    """Say what the states are evidence for, then fail, or say UNKNOWN, where they are not.

    ``without_debris`` are the rows that are judged where nobody can tell what is to be reclaimed.
    """
    rests_on = evidence(judged)
    if not is_whole:
        rests_on = replace(rests_on, kind=EvidenceClass.SAMPLED)
    if unjudged := next((each.not_reclaimed for each in judged if each.not_reclaimed), ""):
        grounds.rows = without_debris
        rests_on = replace(rests_on, detail=f"{rests_on.detail}; debris not judged: {unjudged}")
    grounds.evidence = rests_on
    found = [each for run in judged for each in run.found]
    findings.settle(found, [text for run in judged for text in run.doubts], grounds, request)
