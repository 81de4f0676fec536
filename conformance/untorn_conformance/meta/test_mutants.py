"""Each mutant is killed by the rows that it names, and by no others than it says."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest
from untorn_conformance import mutants, registry, subjects
from untorn_conformance.contract import REQUIREMENTS
from untorn_conformance.meta.inner_run import Ran, run_pytest
from untorn_stress.explorer import Exploration, bounded
from untorn_stress.gate import availability
from untorn_stress.laboratory import Laboratory
from untorn_stress.scenarios import scenario

SUITE = Path(mutants.__path__[0]).parent / "suite"
NAMES = sorted(module.name for module in pkgutil.iter_modules(mutants.__path__))
JUDGED = "R,G"
GATE = availability.probe()
GATED = ("test_interleavings.py", "test_machine_concurrent.py", "test_stopped_workers.py")
"""Minutes of schedules, which a mutant need not sit through: one search is asked of each below."""


def mutant(name: str) -> ModuleType:
    return importlib.import_module(f"untorn_conformance.mutants.{name}")


def run_suite(folder: Path, backend: str, rows: str) -> Ran:
    """The suite itself on a backend, only the cases of these rows."""
    options = [str(SUITE), "--import-mode=importlib", "-p", "no:cacheprovider", "-n", "2"]
    left_out = [f"--ignore={SUITE / name}" for name in GATED]
    return run_pytest(folder, *options, *left_out, "--req", rows, backend=backend)


@pytest.fixture(scope="module", params=NAMES)
def tried(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Ran]:
    factory = f"py:{mutant(request.param).__name__}:factory"
    return request.param, run_suite(tmp_path_factory.mktemp("mutant"), factory, JUDGED)


def rows(ran: Ran, outcome: str) -> set[str]:
    return {row["id"] for row in ran.document["requirements"] if row["outcome"] == outcome}


def test_a_mutant_is_killed_by_every_row_that_it_names(tried: tuple[str, Ran]) -> None:
    name, ran = tried
    assert rows(ran, "FAIL") >= mutant(name).KILLS, ran.text


def test_a_mutant_fails_no_other_row_than_it_says(tried: tuple[str, Ran]) -> None:
    name, ran = tried
    assert rows(ran, "FAIL") <= mutant(name).KILLS | mutant(name).MAY_FAIL, ran.text


def test_a_mutant_is_found_non_conformant(tried: tuple[str, Ran]) -> None:
    _, ran = tried
    assert (ran.document["word"], ran.exit_code) == ("non-conformant", 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_mutant_names_rows_that_there_are(name: str) -> None:
    assert mutant(name).KILLS
    assert REQUIREMENTS.keys() >= mutant(name).KILLS | mutant(name).MAY_FAIL


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_passes_what_kills_a_mutant(name: str, tmp_path: Path) -> None:
    killers = mutant(name).KILLS
    ran = run_suite(tmp_path, "reference", ",".join(sorted(killers)))
    assert rows(ran, "PASS") == killers, ran.text


@pytest.mark.skipif(not GATE.ok, reason=f"the gate cannot be used here: {GATE.reason}")
def test_the_gate_finds_a_missing_lease_with_one_preemption(tmp_path: Path) -> None:
    spec = registry.parse("py:untorn_conformance.mutants.no_lease:factory")
    subject = subjects.subject_of(spec, subjects.ask_hello(spec, tmp_path))
    played = scenario("reader-collector")
    scheduler, described = bounded(1)
    with Laboratory(subject, base=tmp_path) as laboratory:
        start = laboratory.natural(played.tree)
        search = Exploration(laboratory, played, start, scheduler, described=described)
        found = {each.finding.requirement for each in search.run().found}
    assert mutant("no_lease").KILLS <= found <= mutant("no_lease").KILLS | {"R1", "G9"}
