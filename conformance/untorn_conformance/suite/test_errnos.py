"""D2, N2: every call that can fail fails, each with every errno that it can return, once and on.

A worker alone does one thing; what fails are its calls on names, data and locks below the root. The
table of errnos by call and its sources is ``untorn_stress/gate/errnos.py``.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from untorn_conformance import beginnings, findings
from untorn_conformance.backend import Verb
from untorn_conformance.cases import begins
from untorn_conformance.plugin import TRIAL, Grounds, not_applicable, requires, unknown
from untorn_conformance.profiles import Profile
from untorn_fixtures import clips
from untorn_stress.explore import Budget
from untorn_stress.explorer import Exploration, Explored, bounded
from untorn_stress.faults import Refusal
from untorn_stress.gate import availability
from untorn_stress.grain import Grain
from untorn_stress.laboratory import Laboratory
from untorn_stress.scenario import Locks, Scenario
from untorn_stress.scenarios import FAILING, FAILING_EXTRACTION, SCENARIOS
from untorn_stress.schedulers.fail_nth import FailNth, Site
from untorn_stress.schedulers.protocol import Scheduler
from untorn_stress.schedulers.replay import Replay

MOST_RUNS = 3000
"""How many faults of one scenario are tried; what does not fit is SAMPLED."""

DRAWN_SEED = 1901

AT_THE_RENAME = frozenset({"EEXIST", "ENOTEMPTY", "EXDEV", "EPERM", "ESTALE"})
PUBLISHING = FAILING[:3]
PAIRS = [
    each
    for each in SCENARIOS
    if len(each.programs) == 2 and each.locks is Locks.REAL and not each.needs
]


@pytest.fixture
def laboratory(request: pytest.FixtureRequest) -> Iterator[Laboratory]:
    """The backend under the gate, with each call on data a step; UNKNOWN where it is refused."""
    with opened(request) as made:
        yield made


def opened(request: pytest.FixtureRequest, clip: str = "") -> Laboratory:
    """A laboratory whose steps are calls on data, too."""
    trial = request.config.stash[TRIAL]
    gate = availability.probe()
    if not gate.ok:
        unknown(f"the gate cannot be used here: {gate.reason}; {gate.advice}")
    return trial.laboratory(trial.directories[0], clip=clip, grain=Grain.DATA)


def case(each: Scenario, *rows: str) -> object:
    """The parameter of one scenario, with its rows."""
    rests_on = "each errno at each call of one worker; the run says how many"
    return pytest.param(each, id=each.name, marks=requires(*rows, evidence=rests_on))


@begins(3)
@pytest.mark.parametrize("played", [case(each, "D2", "P5", "L2") for each in FAILING])
def test_D2_every_call_may_fail(
    played: Scenario, laboratory: Laboratory, grounds: Grounds, request: pytest.FixtureRequest
) -> None:
    """The answer is the verb's own, nothing is torn, and when it is over the cache works."""
    scheduler, described = bounded(0, errnos=1)
    settle(search(laboratory, played, scheduler, described), grounds, request)


@pytest.mark.parametrize("played", [case(each, "N2") for each in PUBLISHING])
def test_N2_the_publishing_rename_may_fail(
    played: Scenario, laboratory: Laboratory, grounds: Grounds, request: pytest.FixtureRequest
) -> None:
    """Whatever a file system answers there, the caller is told what became of its frames."""
    renames = steps_of_renames(laboratory, played)
    if not renames:
        not_applicable(f"{played.name}: it publishes without a rename or a link")

    def is_meant(site: Site) -> bool:
        refusal = Refusal.of(site.label.partition("!")[2])
        return site.step in renames and refusal is not None and refusal.errno in AT_THE_RENAME

    scheduler = FailNth(only=is_meant)
    explored = search(laboratory, played, scheduler, "fail_nth at renames")
    settle(explored, grounds, request, besides=("N2",))


def steps_of_renames(laboratory: Laboratory, played: Scenario) -> set[int]:
    """Where a publish without a fault renames or links."""
    system = laboratory.system(played, beginnings.natural(laboratory, played.tree))
    system.record = True
    run = system.run(Replay(()).choose).run
    publishing = {each.index for each in run.operations if each.verb is Verb.PUBLISH}
    return {
        step.number
        for step in run.steps
        if step.operation in publishing and step.call.startswith(("rename", "link"))
    }


@pytest.mark.parametrize("played", [case(each, "D2", "P5", "L2") for each in PAIRS])
def test_D2_a_call_of_two_workers_may_fail(
    played: Scenario,
    laboratory: Laboratory,
    effort: Profile,
    grounds: Grounds,
    request: pytest.FixtureRequest,
) -> None:
    """Without preemption: drawn ones, and at night each of them."""
    scheduler, described = drawn_or_all(effort.failing_calls)
    settle(search(laboratory, played, scheduler, described), grounds, request)


def drawn_or_all(count: int | None) -> tuple[FailNth, str]:
    """So many faults drawn from all, or all of them, and the words for it."""
    if count is None:
        return FailNth(), "fail_nth"
    return FailNth(runs=count, seed=DRAWN_SEED), f"fail_nth, {count} drawn, seed={DRAWN_SEED}"


@begins(3)
@requires("D2", "D5", evidence="calls that fail, of an extraction; the run says how many")
def test_D2_a_whole_extraction(
    effort: Profile, grounds: Grounds, request: pytest.FixtureRequest
) -> None:
    """A request and its decoder, all their threads at the gate, meet errnos where they may."""
    with opened(request, clip=str(clips.settled("sdr"))) as laboratory:
        played = FAILING_EXTRACTION
        if not played.needs <= laboratory.subject.capabilities:
            not_applicable("extraction is not declared")
        scheduler, described = drawn_or_all(effort.failing_extractions)
        explored = search(laboratory, played, scheduler, described)
    settle(explored, grounds, request)


def search(
    laboratory: Laboratory, played: Scenario, scheduler: Scheduler, described: str
) -> Explored:
    """One search from the scenario's natural tree."""
    return Exploration(
        laboratory,
        played,
        beginnings.natural(laboratory, played.tree),
        scheduler,
        described=described,
        budget=Budget(runs=MOST_RUNS),
        errnos=True,
    ).run()


def settle(
    explored: Explored,
    grounds: Grounds,
    request: pytest.FixtureRequest,
    besides: tuple[str, ...] = (),
) -> None:
    """Pass with what the search is evidence for, fail with its first finding, or say UNKNOWN."""
    grounds.evidence = explored.evidence
    doubts = [explored.undecided or explored.nondeterministic, *explored.unobserved]
    findings.settle(explored.found, doubts, grounds, request, besides)
