"""Each mutant is killed by the rows that it names, for its own reason, and by no others.

A mutant is judged on what it says that it is shown by: plain cases of the suite, or one bounded
search. Beside its plain cases a few more are run, which a cache passes that works at all. The
reference passes the same cases; the searches are within the bounds to which the suite searches it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import pytest
from untorn_conformance import mutants, registry, subjects
from untorn_conformance.contract import REQUIREMENTS
from untorn_conformance.meta.inner_run import Ran, run_pytest
from untorn_conformance.mutants import Case, Search
from untorn_stress.explorer import Exploration, Explored, bounded
from untorn_stress.gate import availability
from untorn_stress.grain import Grain
from untorn_stress.laboratory import Laboratory
from untorn_stress.run import Finding, FindingKind
from untorn_stress.scenario import Locks
from untorn_stress.scenarios import scenario

SUITE = Path(mutants.__path__[0]).parent / "suite"
NAMES = sorted(module.name for module in pkgutil.iter_modules(mutants.__path__))
GATE = availability.probe()

UNUSED = ("cacheprovider", "xdist", "hypothesispytest")
"""Plugins that a run of a few cases does not need: loading them takes longer than the cases."""

HEALTH = (
    Case(file="test_publish.py", id="P1.absent_until_published_whole_after"),
    Case(file="test_collect.py", id="G2.ends_within_the_budget"),
)
"""What every mutant passes: one that is broken altogether would prove nothing."""


def mutant(name: str) -> ModuleType:
    return importlib.import_module(f"untorn_conformance.mutants.{name}")


def cases_of(name: str) -> list[Case]:
    return [each for each in mutant(name).SHOWN_BY if isinstance(each, Case)]


def searches_of(name: str) -> list[Search]:
    return [each for each in mutant(name).SHOWN_BY if isinstance(each, Search)]


def may_fail(name: str) -> frozenset[str]:
    rows: frozenset[str] = mutant(name).KILLS | mutant(name).MAY_FAIL
    return rows


SHOWN_BY_CASES = [name for name in NAMES if cases_of(name)]
SEARCHES = [(name, search) for name in NAMES for search in searches_of(name)]


def is_within(search: Search) -> bool:
    """Whether the suite searches every cache as far as this, from the natural tree."""
    played = scenario(search.scenario)
    if search.kills:
        return (search.preemptions, search.kills, played.locks) == (0, 1, Locks.REAL)
    return search.preemptions <= played.preemptions


def each_search(searches: Iterable[tuple[str, Search]]) -> pytest.MarkDecorator:
    """A test for each; those that go further than the suite are no daily matter."""
    return pytest.mark.parametrize(
        ("name", "search"),
        [
            pytest.param(
                name,
                search,
                id=f"{name}-{search.scenario}",
                marks=() if is_within(search) else pytest.mark.nightly,
            )
            for name, search in searches
        ],
    )


# --- declarations


@pytest.mark.parametrize("name", NAMES)
def test_a_mutant_names_rows_that_there_are(name: str) -> None:
    assert mutant(name).KILLS
    assert REQUIREMENTS.keys() >= may_fail(name)


@pytest.mark.parametrize("name", NAMES)
def test_each_row_that_kills_a_mutant_is_shown(name: str) -> None:
    shown = {each.row for each in mutant(name).SHOWN_BY}
    assert shown == mutant(name).KILLS


# --- plain cases


def run_cases(folder: Path, backend: str, cases: Iterable[Case]) -> Ran:
    """These cases of the suite on a backend, and those of its health."""
    nodes = dict.fromkeys(f"{SUITE / each.node}" for each in (*cases, *HEALTH))
    options = ["--import-mode=importlib", *(f"-pno:{name}" for name in UNUSED)]
    return run_pytest(folder, *options, *nodes, backend=backend)


@pytest.mark.parametrize("name", SHOWN_BY_CASES)
def test_a_mutant_fails_the_cases_that_show_it_and_no_others(name: str, tmp_path: Path) -> None:
    shown_by = cases_of(name)
    ran = run_cases(tmp_path, f"py:{mutant(name).__name__}:factory", shown_by)
    failed = {case: how for case, how in ran.outcomes.items() if how != "PASS"}
    assert failed == {each.id: "FAIL" for each in shown_by}, ran.text
    details = {each.id: ran.detail(each.id) for each in shown_by}
    assert all(each.says in details[each.id] for each in shown_by), details
    rows = {row["id"] for row in ran.document["requirements"] if row["outcome"] == "FAIL"}
    assert {each.row for each in shown_by} <= rows <= may_fail(name)
    assert (ran.document["word"], ran.exit_code) == ("non-conformant", 1)


def test_the_reference_passes_the_cases_that_show_mutants(tmp_path: Path) -> None:
    ran = run_cases(tmp_path, "reference", [each for name in NAMES for each in cases_of(name)])
    assert set(ran.outcomes.values()) == {"PASS"}, ran.text


# --- searches


def explore(backend: str, search: Search, base: Path) -> Explored:
    """Search until something is found."""
    spec = registry.parse(backend)
    subject = subjects.subject_of(spec, subjects.ask_hello(spec, base))
    played = scenario(search.scenario)
    scheduler, described = bounded(search.preemptions, search.kills, search.errnos)
    grain = Grain.DATA if search.errnos else Grain.METADATA
    with Laboratory(subject, base=base, grain=grain) as laboratory:
        return Exploration(
            laboratory,
            played,
            laboratory.natural(played.tree),
            scheduler,
            described=described,
            stop_at_first=True,
            kills=search.kills > 0,
            errnos=search.errnos > 0,
        ).run()


gated = pytest.mark.skipif(not GATE.ok, reason=f"the gate cannot be used here: {GATE.reason}")


@gated
@each_search(SEARCHES)
def test_a_search_finds_the_schedule_that_shows_a_mutant(
    name: str, search: Search, tmp_path: Path
) -> None:
    explored = explore(f"py:{mutant(name).__name__}:factory", search, tmp_path)
    found = [each.finding for each in explored.found]
    told = {(each.requirement, each.rule): each.message for each in found if came_again(each)}
    assert search.says in told.get((search.row, search.rule), ""), found
    assert {each.requirement for each in found} <= may_fail(name)
    assert not explored.undecided


def came_again(finding: Finding) -> bool:
    """Whether its replay showed it, too; time stamps may decide what else a mutant does wrong."""
    return finding.kind is not FindingKind.NONDETERMINISTIC


@gated
@each_search((name, search) for name, search in SEARCHES if not is_within(search))
def test_the_reference_passes_a_search_beyond_those_of_the_suite(
    name: str, search: Search, tmp_path: Path
) -> None:
    del name
    explored = explore("reference", search, tmp_path)
    assert (explored.exhaustive, explored.found) == (True, ())
