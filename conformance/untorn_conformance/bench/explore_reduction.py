"""What reduction saves: the same bounded search with pruning and idle objects, and without.

Rule 1: both must find the same, else the goal is missed: a reduction that loses a finding saves
        nothing.
Rule 2: counts do not depend on the machine, so each search is made once.
"""

from __future__ import annotations

from collections.abc import Mapping

from untorn_stress.explorer import Exploration, Explored
from untorn_stress.laboratory import Laboratory
from untorn_stress.scenarios import scenario
from untorn_stress.schedulers.dfs_bounded import BoundedDfs

from untorn_conformance.bench.explore_site import REFERENCE, SPECIMENS, Search, Site, laboratory
from untorn_conformance.bench.row import Row, Unit

_NAMES: Mapping[str, str] = {REFERENCE: "the reference"} | {
    backend: f"the specimen {name}" for name, backend in SPECIMENS.items()
}


def measure(site: Site) -> list[Row]:
    """A row for each search of the plan."""
    rows = []
    for backend in dict.fromkeys(search.backend for search in site.plan.reductions):
        with laboratory(site, backend) as lab:
            rows += [
                _row(site, lab, search)
                for search in site.plan.reductions
                if search.backend == backend
            ]
    return rows


def _row(site: Site, lab: Laboratory, search: Search) -> Row:
    plural = "" if search.preemptions == 1 else "s"
    name = (
        f"{search.scenario} of {_NAMES[search.backend]}, <= {search.preemptions} "
        f"preemption{plural}, reduced"
    )
    site.say(name)
    ours, floor = (_explored(lab, search, reduced=reduced) for reduced in (True, False))
    same = _findings(ours) == _findings(floor)
    found = ", ".join(sorted(_findings(ours))) or "nothing"
    whole = ours.runs - ours.cut
    note = (
        f"both found {found}"
        if same
        else f"NOT THE SAME: found {found}, but without reduction "
        f"{', '.join(sorted(_findings(floor))) or 'nothing'}"
    )
    note += (
        f"; runs made to their end: {whole} against {floor.runs - floor.cut} "
        f"({(floor.runs - floor.cut) / whole:.1f}x); {ours.seconds:.2f} s against "
        f"{floor.seconds:.2f} s ({floor.seconds / ours.seconds:.1f}x)"
    )
    ended = ours.completed == floor.completed == search.preemptions
    if not ended:
        note += f"; UNKNOWN: {_doubt(ours) or _doubt(floor)}"
    return Row(
        name=name,
        unit=Unit.RUNS,
        median=ours.runs,
        floor_name="without reduction",
        floor_median=floor.runs,
        ratio=ours.runs / floor.runs,
        goal="same findings",
        met=same if ended else None,
        note=note,
    )


def _explored(lab: Laboratory, search: Search, *, reduced: bool) -> Explored:
    played = scenario(search.scenario)
    return Exploration(
        lab,
        played,
        lab.natural(played.tree),
        BoundedDfs(preemptions=search.preemptions, pruning=reduced, idle_objects=reduced),
        described=f"at most {search.preemptions} preemptions",
    ).run()


def _findings(explored: Explored) -> frozenset[str]:
    return frozenset(f"{each.finding.requirement} {each.finding.rule}" for each in explored.found)


def _doubt(explored: Explored) -> str:
    return explored.undecided or explored.nondeterministic
