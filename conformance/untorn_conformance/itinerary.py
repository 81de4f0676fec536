"""What `untorn explore` visits, and in which order: cheap and telling first.

    for each scenario   its natural tree with at most one preemption
                        each harvested tree, up to the scenario's bound for those
                        its natural tree up to its whole bound

Rule 1: a scenario that needs an undeclared capability is left out, and named.
Rule 2: one whose workers extract is not searched: its runs start decoders, and hold all their
        threads. Few are drawn, from its natural tree, and after all else.
Rule 3: who has calls fail wants them of a worker alone, unless other scenarios are named.
Rule 4: the order is fixed, so that equal runs find equal things at equal places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from untorn_stress.explorer import Explored, bounded
from untorn_stress.laboratory import Laboratory
from untorn_stress.scenario import Scenario
from untorn_stress.scenarios import FAILING, SCENARIOS, scenario
from untorn_stress.schedulers.dfs_unbounded import UnboundedDfs
from untorn_stress.schedulers.pct import Pct
from untorn_stress.schedulers.protocol import Scheduler
from untorn_stress.schedulers.uniform import Uniform
from untorn_stress.start import Start

from untorn_conformance.contract import Capability

DRAWN_RUNS = 200
"""How many schedules pct and random draw from each tree, where no budget says otherwise."""

EXTRACTING_RUNS = 12
"""The same for workers that extract."""

_PCT_DEPTH = 3
_DRAWING = ("pct", "random")


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """One search: a scenario from a tree, with a fresh scheduler and its description.

    ``kills`` is how many workers may be killed, ``errnos`` how many calls made to fail;
    ``drawn_runs`` is how many schedules the scheduler draws, None for one that searches them all.
    """

    scenario: Scenario
    start: Start
    scheduler: Scheduler
    described: str
    kills: int = 0
    errnos: int = 0
    drawn_runs: int | None = None

    def was_made(self, explored: Explored) -> bool:
        """Whether the search did all that it set out to do."""
        if self.drawn_runs is None:
            return explored.exhaustive
        return explored.runs == self.drawn_runs


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What the user asked for; None and empty mean as it comes."""

    scenarios: Sequence[str] = ()
    tree: str | None = None
    scheduler: str = "dfs"
    preemptions: int | None = None
    kills: int = 0
    errnos: int = 0
    runs: int | None = None
    seconds: float | None = None
    seed: int = 0


def chosen(wishes: Wishes, capabilities: frozenset[Capability]) -> tuple[list[Scenario], list[str]]:
    """The scenarios to visit, and the names of those that the backend does not claim to do."""
    usual = FAILING if wishes.errnos else SCENARIOS
    wanted = [scenario(name) for name in wishes.scenarios] or list(usual)
    able = [each for each in wanted if each.needs <= capabilities]
    return able, [each.name for each in wanted if each not in able]


def extracts(each: Scenario) -> bool:
    """Whether its workers extract, which takes a clip and decoders."""
    return Capability.EXTRACT in each.needs


def visits(
    laboratory: Laboratory, wishes: Wishes, scenarios: Sequence[Scenario]
) -> Iterator[Visit]:
    """Every search, in order; a scenario whose natural tree cannot be made is passed over.

    Raises TreeUnavailableError for a tree that was wished for and that there is not.
    """
    for each in scenarios:
        if wishes.tree is None and laboratory.why_not(each.tree):
            continue
        if wishes.scheduler == "dfs" and not extracts(each):
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
        yield _search(each, laboratory.start(wishes.tree), bound, wishes)
        return
    natural = laboratory.natural(each.tree)
    yield _search(each, natural, min(bound, 1), wishes)
    if each.harvest_preemptions is not None:
        for start in laboratory.harvest().values():
            yield _search(each, start, min(bound, each.harvest_preemptions), wishes)
    if bound > 1:
        yield _search(each, natural, bound, wishes)


def _search(each: Scenario, start: Start, bound: int, wishes: Wishes) -> Visit:
    scheduler, described = bounded(bound, wishes.kills, wishes.errnos)
    return Visit(
        scenario=each,
        start=start,
        scheduler=scheduler,
        described=described,
        kills=wishes.kills,
        errnos=wishes.errnos,
    )


def _drawn(wishes: Wishes, each: Scenario, start: Start) -> Visit:
    runs, seed, name = wishes.runs or DRAWN_RUNS, wishes.seed, wishes.scheduler
    if extracts(each):
        is_drawn = name in _DRAWING
        runs = wishes.runs if wishes.runs and is_drawn else EXTRACTING_RUNS
        name = name if is_drawn else _DRAWING[0]
    makers: dict[str, Callable[[], tuple[Scheduler, str]]] = {
        "dfs-unbounded": lambda: (UnboundedDfs(), "any number of preemptions"),
        "pct": lambda: (
            Pct(seed=seed, runs=runs, depth=_PCT_DEPTH),
            f"pct d={_PCT_DEPTH} seed={seed}",
        ),
        "random": lambda: (Uniform(seed=seed, runs=runs), f"random seed={seed}"),
    }
    scheduler, described = makers[name]()
    return Visit(
        scenario=each,
        start=start,
        scheduler=scheduler,
        described=described,
        drawn_runs=None if isinstance(scheduler, UnboundedDfs) else runs,
    )
