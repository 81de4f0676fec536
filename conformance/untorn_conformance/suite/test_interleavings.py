"""Chapters P R G L N: every interleaving of a few workers, from natural trees and crash states.

Each case is one scenario, and its rows are the scenario's. A finding is drawn as a timeline, whose
last line replays it; it counts against the row that it breaks.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from untorn_conformance import beginnings, findings
from untorn_conformance.cases import begins
from untorn_conformance.plugin import TRIAL, Grounds, not_applicable, requires, unknown
from untorn_conformance.profiles import Profile
from untorn_conformance.verdict import Evidence, EvidenceClass
from untorn_fixtures import clips
from untorn_stress.alike import AlikeSearches
from untorn_stress.explore import Budget
from untorn_stress.explorer import Exploration, Explored, bounded
from untorn_stress.gate import availability
from untorn_stress.laboratory import Laboratory
from untorn_stress.scenario import Locks, Scenario
from untorn_stress.scenarios import SCENARIOS
from untorn_stress.scenarios import scenario as scenario_named
from untorn_stress.schedulers.fail_nth import FailNth
from untorn_stress.schedulers.pct import Pct
from untorn_stress.schedulers.protocol import Scheduler
from untorn_stress.start import Start

MOST_RUNS = 6000
"""How many schedules of one scenario from one tree are explored; what does not fit is SAMPLED.

The most that a pair of the reference has (two repairs) is 5,178.
"""

MOST_RUNS_AT_NIGHT = 100_000
"""The same where deaths come on top of preemptions."""

DRAWN_RUNS = 12
"""How many schedules of real decoders are drawn: each run starts and watches one or two ffmpegs."""

DRAWN_KILLS = 16
"""How many deaths of a request, or of its first process alone, are drawn."""

DRAWN_SEED = 1901

OF_LOCKS = "N1"
"""The row that is about locks alone: who asks for none is not judged by it, and has not passed."""

GATED = [each for each in SCENARIOS if not each.needs]
HARVESTED = [each for each in GATED if each.harvest_preemptions is not None]
PAIRS = [each for each in GATED if len(each.programs) == 2 and each.locks is Locks.REAL]
AFTER_A_CRASH = ("C1", "P3", "P4")
"""Rows that crash states add: they hold torn entries, complete ones and damaged ones."""


def case(scenario: Scenario, *more: str) -> object:
    """The parameter of one scenario, with its rows and those that its trees add."""
    rests_on = "the schedules of the scenario; the run says how many, and whether all"
    rows = dict.fromkeys((*scenario.requirements, *more))
    return pytest.param(scenario, id=scenario.name, marks=requires(*rows, evidence=rests_on))


@begins(2)
@pytest.mark.parametrize("scenario", [case(each) for each in GATED])
def test_every_schedule(
    scenario: Scenario, laboratory: Laboratory, grounds: Grounds, request: pytest.FixtureRequest
) -> None:
    """From the natural tree, up to the scenario's bound of preemptions."""
    start = beginnings.natural(laboratory, scenario.tree)
    explored = explore(laboratory, scenario, start, scenario.preemptions)
    settle([explored], grounds, request)


@begins(1)
@pytest.mark.parametrize("scenario", [case(each, *AFTER_A_CRASH) for each in HARVESTED])
def test_every_schedule_after_a_crash(
    scenario: Scenario, laboratory: Laboratory, grounds: Grounds, request: pytest.FixtureRequest
) -> None:
    """From each state that a crash of everything can leave."""
    bound = scenario.harvest_preemptions
    assert bound is not None
    searches = AlikeSearches(laboratory, scenario, preemptions=bound, budget=Budget(runs=MOST_RUNS))
    settle(
        [searches.explore(start) for start in beginnings.crash_states(laboratory)],
        grounds,
        request,
        left_out=beginnings.not_harvested(laboratory),
    )


@pytest.mark.parametrize("scenario", [case(each, "C1", "C2", "L2") for each in PAIRS])
def test_one_is_killed_before_any_step(
    scenario: Scenario,
    laboratory: Laboratory,
    effort: Profile,
    grounds: Grounds,
    request: pytest.FixtureRequest,
) -> None:
    """From the natural tree: SIGKILL of one worker in place of each step."""
    start = beginnings.natural(laboratory, scenario.tree)
    explored = explore(laboratory, scenario, start, effort.kill_preemptions, kills=1)
    settle([explored], grounds, request)


SINGLE_FLIGHT = scenario_named("single-flight")


@begins(3)
@requires(*SINGLE_FLIGHT.requirements, evidence="schedules of two extractions, drawn by pct")
def test_P7_single_flight(grounds: Grounds, request: pytest.FixtureRequest) -> None:
    """Two extractions of one clip, real decoders and all their threads held at the gate."""
    scheduler = Pct(seed=DRAWN_SEED, runs=DRAWN_RUNS, depth=2)
    explored = explore_requests(request, scheduler, f"pct d=2 seed={DRAWN_SEED}")
    settle([explored], grounds, request)


@begins(3)
@requires("C5", "P7", evidence=f"{DRAWN_KILLS} deaths drawn from all of two extractions")
def test_C5_a_request_is_killed(grounds: Grounds, request: pytest.FixtureRequest) -> None:
    """With its decoder, or alone: then the orphan writes on while the other request takes over."""
    scheduler = FailNth(runs=DRAWN_KILLS, seed=DRAWN_SEED)
    described = f"fail_nth, {DRAWN_KILLS} deaths drawn, seed={DRAWN_SEED}"
    explored = explore_requests(request, scheduler, described, kills=True)
    settle([explored], grounds, request)


def explore_requests(
    request: pytest.FixtureRequest, scheduler: Scheduler, described: str, *, kills: bool = False
) -> Explored:
    """Draw schedules of two requests of one clip."""
    trial = request.config.stash[TRIAL]
    gate = availability.probe()
    if not gate.ok:
        unknown(f"the gate cannot be used here: {gate.reason}; {gate.advice}")
    with trial.laboratory(trial.directories[0], clip=str(clips.settled("sdr"))) as laboratory:
        if not SINGLE_FLIGHT.needs <= laboratory.subject.capabilities:
            not_applicable("extraction or single-flight is not declared")
        start = beginnings.natural(laboratory, SINGLE_FLIGHT.tree)
        return Exploration(
            laboratory, SINGLE_FLIGHT, start, scheduler, described=described, kills=kills
        ).run()


def explore(
    laboratory: Laboratory, scenario: Scenario, start: Start, bound: int, kills: int = 0
) -> Explored:
    """One bounded search."""
    scheduler, described = bounded(bound, kills)
    return Exploration(
        laboratory,
        scenario,
        start,
        scheduler,
        described=described,
        budget=Budget(runs=MOST_RUNS if bound == 0 or not kills else MOST_RUNS_AT_NIGHT),
        kills=kills > 0,
    ).run()


def settle(
    searches: list[Explored],
    grounds: Grounds,
    request: pytest.FixtureRequest,
    *,
    left_out: str = "",
) -> None:
    """Pass with what the searches are evidence for, fail with the first finding, or say UNKNOWN.

    ``left_out`` names the crash states that could not be harvested, for the evidence to say.
    """
    evidence = evidence_of(searches)
    detail = f"{evidence.detail}; not harvested: {left_out}" if left_out else evidence.detail
    if all(each.no_lock_asked for each in searches):
        detail += "; nobody asked for a lock, so what N1 asks besides is not judged"
        rows = scenario_named(searches[0].scenario).requirements
        grounds.rows = tuple(row for row in rows if row != OF_LOCKS)
    grounds.evidence = replace(evidence, detail=detail)
    doubts = [each.undecided or each.nondeterministic for each in searches]
    doubts += [text for each in searches for text in each.unobserved]
    found = [each for search in searches for each in search.found]
    findings.settle(found, doubts, grounds, request)


def evidence_of(searches: list[Explored]) -> Evidence:
    """One search's own evidence; of several: how many, and whether each was exhausted."""
    if len(searches) == 1:
        return searches[0].evidence
    runs, made = sum(each.runs for each in searches), sum(each.made for each in searches)
    whole = sum(each.exhaustive for each in searches)
    alike = sum(bool(each.alike) for each in searches)
    kind = EvidenceClass.EXHAUSTIVE if whole == len(searches) else EvidenceClass.SAMPLED
    first = searches[0]
    detail = (
        f"{first.scenario}: schedules of {first.scheduler} from {len(searches)} crash states, "
        f"{whole} of them exhausted ({runs} schedules, {made} made)"
    )
    if alike:
        detail += f"; {alike} of the states are like another in all that anybody touched"
    return replace(first.evidence, kind=kind, detail=detail)
