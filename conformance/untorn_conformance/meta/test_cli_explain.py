"""`untorn explain`, `untorn list`, `untorn init`: what a person is told, and what is written."""

from __future__ import annotations

import json
import shlex
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from untorn_conformance import backend_file, baseline, explaining
from untorn_conformance.case_list import cases_of_suite
from untorn_conformance.cases import Case
from untorn_conformance.contract import REQUIREMENTS, Capability
from untorn_conformance.meta.command import untorn
from untorn_conformance.registry import GROUP, NAMED
from untorn_stress import scenarios

USAGE = 2


# --- explain -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cases() -> tuple[Case, ...]:
    """The cases of the suite, collected once for all that is told of them here."""
    return cases_of_suite()


@pytest.fixture
def collected(cases: tuple[Case, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "cases_of_suite", lambda: cases)


def test_a_requirement_is_explained_in_full(tmp_path: Path) -> None:
    done = untorn("explain", "R4", cwd=tmp_path, fresh=True)
    words = " ".join(done.stdout.split())
    row = REQUIREMENTS["R4"]
    assert done.returncode == 0
    for told in (row.text, row.observed_by, row.brought_about_by, row.oracle):
        assert " ".join(told.split()) in words
    assert words.startswith("R4 MUST, chapter R: read and lease")
    assert "needs lease" in words
    assert "R4.what_a_stopped_reader_holds_stays SAMPLED: one stopped holder" in words
    assert "no_lease The reference without leases." in words
    assert "untorn verify --req R4" in words


def text_of(subject: str) -> str:
    return explaining.explanation_text(explaining.explain(subject))


@pytest.mark.usefixtures("collected")
def test_dependencies_are_told_both_ways_and_so_is_what_is_untested() -> None:
    told = explaining.explain("p1")
    assert told["schema"] == "untorn/explanation/1"
    needed_by = [row.id for row in REQUIREMENTS.values() if "P1" in row.depends_on]
    assert told["needed_by"] == needed_by != []
    assert "untested " in text_of("E3")


@pytest.mark.usefixtures("collected")
def test_a_case_is_explained_by_what_its_test_says() -> None:
    case = "R4.what_a_writer_was_given_stays[adopted]"
    words = " ".join(text_of(case).split())
    assert words.startswith(f"{case}, a case of R4 The handle that publish answers with")
    assert "test_read.py::test_R4_what_a_writer_was_given_stays[adopted]" in words


@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize(
    ("subject", "near"),
    [("P33", "near: P3"), ("G2.ends_within_budget", "G2.ends_within_the_budget"), ("§", "list")],
)
def test_an_unknown_name_is_answered_with_those_that_are_near(subject: str, near: str) -> None:
    with pytest.raises(explaining.UnknownSubjectError, match="there is no requirement or c") as no:
        explaining.explain(subject)
    assert near in str(no.value)


def test_an_unknown_name_is_a_usage_error_in_one_line(tmp_path: Path) -> None:
    done = untorn("explain", "P33", "--json", cwd=tmp_path)
    assert done.returncode == USAGE
    assert done.stderr.startswith("untorn: UnknownSubjectError: there is no requirement or case")
    assert len(done.stderr.splitlines()) == 1


# --- list ----------------------------------------------------------------------------------------


def test_everything_can_be_listed(tmp_path: Path) -> None:
    told: dict[str, Any] = json.loads(untorn("list", "--json", cwd=tmp_path).stdout)
    ids = {kind: [item["id"] for item in told[kind]] for kind in told if kind != "schema"}
    assert told["schema"] == "untorn/list/1"
    assert ids["requirements"] == list(REQUIREMENTS)
    assert ids["capabilities"] == [each.value for each in Capability]
    assert ids["scenarios"] == [each.name for each in scenarios.ALL]
    assert set(ids["backends"]) >= set(NAMED)
    assert "G2.ends_within_the_budget" in ids["cases"]
    assert len(set(ids["cases"])) == len(ids["cases"])


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("requirements", "R4   MUST [lease]  What a live reader holds"),
        ("cases", "G2.ends_within_the_budget "),
        ("capabilities", "single-flight  P7"),
    ],
)
def test_one_kind_is_listed_a_line_each(tmp_path: Path, kind: str, line: str) -> None:
    done = untorn("list", kind, cwd=tmp_path)
    assert done.returncode == 0
    assert any(each.startswith(line) for each in done.stdout.splitlines())


def test_a_backend_that_a_package_brings_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "acme-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(f"[{GROUP}]\nacme = acme.adapter:factory\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    done = untorn("list", "backends", cwd=tmp_path)
    assert "acme       acme.adapter:factory" in done.stdout.splitlines()


def test_what_cannot_be_listed_is_a_usage_error(tmp_path: Path) -> None:
    assert untorn("list", "wishes", cwd=tmp_path).returncode == USAGE


# --- init ----------------------------------------------------------------------------------------


FILES = ["backend.toml", "untorn-baseline.toml", ".github/workflows/untorn.yml"]


def test_init_writes_files_that_can_be_read_and_says_what_is_next(tmp_path: Path) -> None:
    folder = tmp_path / 'my "cache"'
    folder.mkdir()
    done = untorn("init", "--backend", "cmd:sh 'my adapter.sh'", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "untorn verify --backend file:backend.toml" in done.stdout
    backend = backend_file.read(str(folder / "backend.toml"))
    assert (backend.claims, backend.command) == ({"name": 'my "cache"'}, ("sh", "my adapter.sh"))
    text = (folder / "untorn-baseline.toml").read_text()
    assert baseline.parse(text, name="b", today=date.max).entries == ()
    without_marks = text.replace("# [[", "[[").replace("\n# ", "\n").removeprefix("# ")
    entries = without_marks[without_marks.index("schema") :]
    assert len(baseline.parse(entries, name="b", today=date(2026, 1, 1)).entries) == 2


def test_init_takes_a_factory(tmp_path: Path) -> None:
    untorn("init", "--backend", "py:mycache.adapter:factory", "--name", "mine", cwd=tmp_path)
    backend = backend_file.read(str(tmp_path / "backend.toml"))
    assert (backend.claims, backend.factory) == ({"name": "mine"}, "mycache.adapter:factory")


def test_the_keys_that_are_left_out_are_keys_that_there_are(tmp_path: Path) -> None:
    untorn("init", "--backend", "py:mycache.adapter:factory", cwd=tmp_path)
    path = tmp_path / "backend.toml"
    path.write_text(path.read_text().replace("\n# ", "\n"))
    backend = backend_file.read(str(path))
    assert (backend.claims["version"], backend.env) == ("1.0", {"MODE": "shared"})


def test_the_workflow_names_options_and_files_that_there_are(tmp_path: Path) -> None:
    untorn("init", cwd=tmp_path)
    text = (tmp_path / ".github/workflows/untorn.yml").read_text()
    command = text.partition("run: >-\n")[2].partition("      - run")[0]
    arguments = shlex.split(command)[1:]
    for name in FILES[:2]:
        assert name in " ".join(arguments)
    assert untorn(*arguments, "--help", cwd=tmp_path).returncode == 0
    assert "untorn-runs/latest/summary.md" in text


def test_init_writes_over_nothing_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "backend.toml").write_text("mine")
    done = untorn("init", cwd=tmp_path)
    assert done.returncode == USAGE
    assert done.stderr == "untorn: there already: backend.toml; --force writes over them\n"
    assert [path.name for path in tmp_path.iterdir()] == ["backend.toml"]
    assert untorn("init", "--force", cwd=tmp_path).returncode == 0
    assert (tmp_path / "backend.toml").read_text() != "mine"


@pytest.mark.parametrize("backend", ["reference", "nonsense", "py:nocolon", "cmd:"])
def test_init_writes_nothing_for_a_backend_that_is_none(tmp_path: Path, backend: str) -> None:
    assert untorn("init", "--backend", backend, cwd=tmp_path).returncode == USAGE
    assert list(tmp_path.iterdir()) == []
