"""What `untorn explore` visits, and in which order: cheap and telling first.

    for each scenario   its natural tree with at most one preemption
                        each harvested tree, up to the scenario's bound for those
                        its natural tree up to its whole bound

Rule 1: a scenario that needs an undeclared capability is left out, and named.
Rule 2: the order is fixed, so that equal runs find equal things at equal places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from untorn_stress.explorer import bounded
from untorn_stress.gated import Start
from untorn_stress.laboratory import Laboratory
from untorn_stress.scenario import Scenario
from untorn_stress.scenarios import SCENARIOS, scenario
from untorn_stress.schedulers.dfs_unbounded import UnboundedDfs
from untorn_stress.schedulers.pct import Pct
from untorn_stress.schedulers.protocol import Scheduler
from untorn_stress.schedulers.uniform import Uniform

from untorn_conformance.contract import Capability

DRAWN_RUNS = 200
"""How many schedules pct and random draw from each tree, where no budget says otherwise."""

_PCT_DEPTH = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """One search: a scenario from a tree, with a fresh scheduler and its description."""

    scenario: Scenario
    start: Start
    scheduler: Scheduler
    described: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What the user asked for; None and empty mean as it comes."""

    scenarios: Sequence[str] = ()
    tree: str | None = None
    scheduler: str = "dfs"
    preemptions: int | None = None
    runs: int | None = None
    seed: int = 0


def chosen(wishes: Wishes, capabilities: frozenset[Capability]) -> tuple[list[Scenario], list[str]]:
    """The scenarios to visit, and the names of those that the backend does not claim to do."""
    wanted = [scenario(name) for name in wishes.scenarios] or list(SCENARIOS)
    able = [each for each in wanted if each.needs <= capabilities and not each.needs]
    return able, [each.name for each in wanted if each not in able]


def visits(
    laboratory: Laboratory, wishes: Wishes, scenarios: Sequence[Scenario]
) -> Iterator[Visit]:
    """Every search, in order; a scenario whose natural tree cannot be made is passed over.

    Raises TreeUnavailableError for a tree that was wished for and that there is not.
    """
    for each in scenarios:
        if wishes.tree is None and laboratory.why_not(each.tree):
            continue
        if wishes.scheduler == "dfs":
            yield from _bounded(laboratory, wishes, each)
        else:
            for start in _starts(laboratory, wishes, each):
                yield _drawn(wishes, each, start)


def passed_over(laboratory: Laboratory, scenarios: Sequence[Scenario]) -> list[str]:
    """What ``visits`` has left out, for trees that this backend cannot be brought to."""
    sources = [f"crash states of {name}" for name in laboratory.not_harvested]
    return [each.name for each in scenarios if each.tree in laboratory.unavailable] + sources


def _starts(laboratory: Laboratory, wishes: Wishes, each: Scenario) -> Iterator[Start]:
    if wishes.tree is not None:
        yield laboratory.start(wishes.tree)
        return
    yield laboratory.natural(each.tree)
    if each.harvest_preemptions is not None:
        yield from laboratory.harvest().values()


def _bounded(laboratory: Laboratory, wishes: Wishes, each: Scenario) -> Iterator[Visit]:
    bound = each.preemptions if wishes.preemptions is None else wishes.preemptions
    if wishes.tree is not None:
        yield _search(each, laboratory.start(wishes.tree), bound)
        return
    natural = laboratory.natural(each.tree)
    yield _search(each, natural, min(bound, 1))
    if each.harvest_preemptions is not None:
        for start in laboratory.harvest().values():
            yield _search(each, start, min(bound, each.harvest_preemptions))
    if bound > 1:
        yield _search(each, natural, bound)


def _search(each: Scenario, start: Start, bound: int) -> Visit:
    scheduler, described = bounded(bound)
    return Visit(scenario=each, start=start, scheduler=scheduler, described=described)


def _drawn(wishes: Wishes, each: Scenario, start: Start) -> Visit:
    runs, seed = wishes.runs or DRAWN_RUNS, wishes.seed
    makers: dict[str, Callable[[], tuple[Scheduler, str]]] = {
        "dfs-unbounded": lambda: (UnboundedDfs(), "any number of preemptions"),
        "pct": lambda: (
            Pct(seed=seed, runs=runs, depth=_PCT_DEPTH),
            f"pct d={_PCT_DEPTH} seed={seed}",
        ),
        "random": lambda: (Uniform(seed=seed, runs=runs), f"random seed={seed}"),
    }
    scheduler, described = makers[wishes.scheduler]()
    return Visit(scenario=each, start=start, scheduler=scheduler, described=described)
