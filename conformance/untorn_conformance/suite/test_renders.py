"""Whole renders at the gate: their calls fail (D2), they die (C1, C2, C3), and no frame is wrong.

Four requests, two of which overlap and one of which is warm. What each gives is known from an
undisturbed extraction of it alone and from an undisturbed render, which have to agree.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from untorn_conformance import beginnings, findings
from untorn_conformance.cases import begins
from untorn_conformance.contract import Capability
from untorn_conformance.plugin import TRIAL, Grounds, not_applicable, requires, unknown
from untorn_conformance.profiles import Profile
from untorn_fixtures import clips
from untorn_stress.explore import Budget
from untorn_stress.explorer import Exploration
from untorn_stress.gate import availability
from untorn_stress.grain import Grain
from untorn_stress.laboratory import Laboratory
from untorn_stress.scenario import Scenario
from untorn_stress.scenarios import FAILING_RENDER, RENDER_ALONE
from untorn_stress.schedulers.fail_nth import FailNth

MOST_RUNS = 10_000
"""How many faults of a render are tried; what does not fit is SAMPLED."""

DRAWN_SEED = 1901


@pytest.fixture(scope="module")
def rendering(request: pytest.FixtureRequest) -> Iterator[Laboratory]:
    """The backend under the gate, with a clip to render, held at each call on data.

    One for both cases: what renders give undisturbed takes as long to learn as some faults.
    """
    trial = request.config.stash[TRIAL]
    greeting = trial.greet()
    if greeting.hello is not None and Capability.RENDER not in greeting.hello.capabilities:
        not_applicable("capability render is not declared")
    gate = availability.probe()
    if not gate.ok:
        unknown(f"the gate cannot be used here: {gate.reason}; {gate.advice}")
    clip = str(clips.settled("sdr"))
    with trial.laboratory(trial.directories[0], clip=clip, grain=Grain.DATA) as opened:
        yield opened


@begins(4)
@requires("D2", "D3", "L2", "X1", "O1", evidence="calls that fail, of a render; see its count")
def test_D2_a_whole_render(
    rendering: Laboratory, effort: Profile, grounds: Grounds, request: pytest.FixtureRequest
) -> None:
    """Every item has its own frames whatever fails, and the next render has the cache again.

    One warning a cause, and what is counted is what was answered.
    """
    search(rendering, FAILING_RENDER, effort, grounds, request)


@requires("C1", "C2", "C3", evidence="steps at which a render dies; the run says how many")
def test_C1_a_killed_render(
    rendering: Laboratory, effort: Profile, grounds: Grounds, request: pytest.FixtureRequest
) -> None:
    """Each key is a miss or whole, the same render succeeds, and the debris goes."""
    search(rendering, RENDER_ALONE, effort, grounds, request)


def search(
    laboratory: Laboratory,
    played: Scenario,
    effort: Profile,
    grounds: Grounds,
    request: pytest.FixtureRequest,
) -> None:
    """Faults of one render, or deaths: drawn ones, and at night each of them."""
    count, kills = effort.failing_renders, played is RENDER_ALONE
    scheduler = FailNth(runs=count, seed=DRAWN_SEED)
    drawn = "" if count is None else f", {count} drawn, seed={DRAWN_SEED}"
    explored = Exploration(
        laboratory,
        played,
        beginnings.natural(laboratory, played.tree),
        scheduler,
        described=("kill_nth" if kills else "fail_nth") + drawn,
        budget=Budget(runs=MOST_RUNS),
        errnos=not kills,
        kills=kills,
    ).run()
    grounds.evidence = explored.evidence
    missed = f"{len(scheduler.missed)} faults were never met" if scheduler.missed else ""
    reasons = [explored.undecided or explored.nondeterministic or missed, *explored.unobserved]
    findings.settle(explored.found, [*reasons, laboratory.not_told], grounds, request)
