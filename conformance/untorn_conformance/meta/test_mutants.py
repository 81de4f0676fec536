"""Each mutant is killed by the rows that it names, and by no others than it says."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest
from untorn_conformance import mutants
from untorn_conformance.contract import REQUIREMENTS
from untorn_conformance.meta.inner_run import Ran, run_pytest

SUITE = Path(mutants.__path__[0]).parent / "suite"
NAMES = sorted(module.name for module in pkgutil.iter_modules(mutants.__path__))
JUDGED = "R,G"


def mutant(name: str) -> ModuleType:
    return importlib.import_module(f"untorn_conformance.mutants.{name}")


def run_suite(folder: Path, backend: str, rows: str) -> Ran:
    """The suite itself on a backend, only the cases of these rows."""
    options = [str(SUITE), "--import-mode=importlib", "-p", "no:cacheprovider", "-n", "2"]
    return run_pytest(folder, *options, "--req", rows, backend=backend)


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
