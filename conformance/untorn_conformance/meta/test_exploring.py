"""`untorn explore` and `untorn replay` on real backends: what is found in them, and found again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from untorn_conformance.done import Done
from untorn_conformance.exploring import explore_command
from untorn_conformance.meta.asking import DRAW, FIRST, REVIEWED, explore, replay
from untorn_conformance.meta.command import untorn
from untorn_stress import counterexample, supervise
from untorn_stress.gate.availability import probe
from untorn_stress.laboratory import Patience
from untorn_stress.token import Token, TokenError

pytestmark = pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")

RACE = ("P2", "winners")


def rules(done: Done) -> set[tuple[str, str]]:
    return {(each["requirement"], each["rule"]) for each in done.document["found"]}


@dataclass(frozen=True)
class Race:
    """What came of exploring a specimen without any configuration, until the race was found."""

    backend: str
    done: Done

    @property
    def found(self) -> dict[str, Any]:
        return next(
            each
            for each in self.done.document["found"]
            if (each["requirement"], each["rule"]) == RACE
        )

    @property
    def token(self) -> Token:
        return Token.decode(self.found["token"])


@pytest.fixture(scope="module")
def first_race(tmp_path_factory: pytest.TempPathFactory) -> Race:
    return Race(FIRST, explore(FIRST, tmp_path_factory.mktemp("out"), runs=60))


@pytest.fixture(scope="module")
def reviewed_race(tmp_path_factory: pytest.TempPathFactory) -> Race:
    return Race(REVIEWED, explore(REVIEWED, tmp_path_factory.mktemp("out"), runs=60))


@pytest.fixture(params=["first_race", "reviewed_race"])
def race(request: pytest.FixtureRequest) -> Race:
    found: Race = request.getfixturevalue(request.param)
    return found


# --- the check-then-remove race -------------------------------------------------------------------


def test_the_race_is_found_with_nothing_configured(race: Race) -> None:
    assert race.done.exit_code == 1
    assert race.found["scenario"] == "writer-writer"
    assert race.found["message"].startswith("told published: w")


def test_the_race_comes_again_100_of_100_times_and_looks_the_same(race: Race) -> None:
    done = replay(race.token, times=100)
    assert done.exit_code == 1
    assert (done.document["shown"], done.document["different_logs"]) == ({"P2 winners": 100}, 1)


def test_a_token_and_its_file_make_the_run_that_was_shown(race: Race) -> None:
    by_token = replay(race.token).document["run"]
    by_file = replay(race.token, file=Path(race.found["file"])).document["run"]
    assert by_token == by_file == race.found["run"]


def test_the_last_line_of_a_finding_replays_it(race: Race) -> None:
    assert race.done.text.splitlines()[-1].startswith("untorn replay u1.writer-writer.harvest-")


@pytest.mark.parametrize("order", ["factory_reversed", "factory_as_listed"])
@pytest.mark.parametrize("specimen", ["first_posted", "after_review"])
def test_where_the_sentinel_goes_last_half_an_entry_is_adopted(
    specimen: str, order: str, tmp_path: Path
) -> None:
    """No entry without its sentinel is ever left: two writers alone cannot race, but are misled."""
    backend = f"py:untorn_conformance.specimens.{specimen}:{order}"
    done = explore(backend, tmp_path, "writer-writer", runs=30)
    assert ("P1", "in-part") in rules(done)


# --- a collector against a reader -----------------------------------------------------------------


@pytest.mark.parametrize("backend", [FIRST, REVIEWED])
def test_a_lookup_beside_a_collector_ends_in_an_error(backend: str, tmp_path: Path) -> None:
    done = explore(backend, tmp_path, "reader-collector", runs=30)
    assert ("R6", "error") in rules(done)


@pytest.mark.parametrize(
    ("backend", "preemptions"), [(FIRST, 2), (REVIEWED, 2), (f"{FIRST}_reversed", 1)]
)
def test_an_entry_under_eviction_is_served_in_part(
    backend: str, preemptions: int, tmp_path: Path
) -> None:
    done = explore(
        backend, tmp_path, "reader-collector", tree="published", preemptions=preemptions, runs=60
    )
    assert ("G9", "in-part") in rules(done)
    assert not {each for each in rules(done) if each[0] in ("R4", "R5")}, "it declares no lease"


# --- tokens that are not for here -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"backend": REVIEWED + "_reversed"}, "made with another backend"),
        ({"identity": "seed-first-posted (sorted)@0000"}, "its calls may be others; install 0000"),
        ({"scenario": "reader-reader"}, "no scenario 'reader-reader'; there are"),
        ({"tree": "harvest-00000000"}, "there is no tree 'harvest-00000000'"),
        ({"locks": "noop"}, "the token says locks 'noop'; scenario writer-writer has 'real'"),
    ],
)
def test_a_token_that_is_not_for_here_says_why(
    first_race: Race, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(TokenError) as caught:
        replay(replace(first_race.token, **change), backend=FIRST)
    assert said in str(caught.value)


# --- backends that are not well -------------------------------------------------------------------

PROGRAMS = Path(__file__).resolve().parents[3] / "stress/tests/programs"


@pytest.fixture
def wicked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PROGRAMS))


@pytest.mark.usefixtures("wicked")
@pytest.mark.parametrize(
    ("backend", "code", "said"),
    [
        ("unimportable_backend:factory", 7, "this backend needs a library that nobody has"),
        ("no_such_module:factory", 7, "No module named 'no_such_module'"),
        ("wicked_backends:no_such_factory", 7, "no_such_factory"),
        ("wicked_backends:never_answers_hello", 6, "UNKNOWN: deadline (effect unknown): no answer"),
        ("wicked_backends:hangs_in_lookup", 1, "A waits in lookup for what never comes"),
        ("wicked_backends:exits_in_publish", 1, "B died in publish, and nobody had killed it"),
        ("wicked_backends:forks_for_ever", 6, "UNKNOWN: no end of the run after 40 steps"),
    ],
)
def test_a_backend_that_is_not_well_is_named_in_time(
    backend: str, code: int, said: str, tmp_path: Path
) -> None:
    done = explore(
        f"py:{backend}",
        tmp_path,
        "reader-writer",
        tree="empty",
        runs=10,
        patience=Patience(step_deadline_s=2.0, most_steps=40),
    )
    assert (done.exit_code, said in done.text) == (code, True), done.text


def test_a_program_that_there_is_not_is_named(tmp_path: Path) -> None:
    done = explore("cmd:/no/such/program", tmp_path)
    assert (done.exit_code, "/no/such/program" in done.text) == (7, True), done.text


def test_a_program_that_speaks_no_protocol_is_named(tmp_path: Path) -> None:
    done = explore("cmd:echo hello", tmp_path)
    assert (done.exit_code, "no verdict: " in done.text) == (7, True), done.text


def test_a_tree_that_there_is_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(TokenError, match="there is no tree 'publishd': natural are empty, pub"):
        explore(FIRST, tmp_path, "writer-writer", tree="publishd")


def test_a_cache_whose_frames_are_no_files_is_explored_as_far_as_it_goes(tmp_path: Path) -> None:
    done = explore(
        "py:untorn_conformance.meta.demo.packed:PackedCache",
        tmp_path,
        "reader-writer",
        "repair",
        "adopt-reader",
        preemptions=0,
    )
    searched = [each["scenario"] for each in done.document["searches"]]
    assert (done.exit_code, set(searched)) == (0, {"reader-writer", "adopt-reader"}), done.text
    assert done.document["not_applicable"] == ["repair", "crash states of repair"]


# --- documents ------------------------------------------------------------------------------------


def without_times(document: Any) -> Any:
    """The document but for what a clock told, and for where its files were written."""
    if isinstance(document, dict):
        left_out = ("seconds", "after_s", "mtime_ns", "file")
        return {key: without_times(each) for key, each in document.items() if key not in left_out}
    return [without_times(each) for each in document] if isinstance(document, list) else document


@pytest.mark.parametrize(
    ("scheduler", "tree", "runs"),
    [("dfs", None, 60), ("pct", "damaged", 10), ("random", "damaged", 10)],
)
def test_the_same_seed_makes_the_same_document(
    scheduler: str, tree: str | None, runs: int, tmp_path: Path
) -> None:
    how: dict[str, Any] = {"scheduler": scheduler, "tree": tree, "runs": runs, "seed": 7}
    first, second = (
        explore(FIRST, tmp_path / name, "writer-writer", **how) for name in ("first", "second")
    )
    assert first.document["found"]
    assert without_times(first.document) == without_times(second.document)
    assert [each["file"] for each in first.document["found"]] == [
        each["file"].replace("/second/", "/first/") for each in second.document["found"]
    ]
    for one, other in zip(first.document["found"], second.document["found"], strict=True):
        written = [json.loads(Path(each["file"]).read_text()) for each in (one, other)]
        assert without_times(written[0]) == without_times(written[1])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["explore", "--list", "--json"], 0),
        (["explore", "--backend", FIRST, "--scenario", "writer-writer", "--budget", "5"], 6),
        (["explore", "--backend", FIRST, "--scenario", "single-flight"], 6),
        (["replay", "u1.writer-writer.empty"], 2),
        (["explore", "--backend", FIRST, "--tree", "none"], 2),
        (["explore", "--backend", "py:no_such_module:factory"], 7),
    ],
)
def test_json_is_one_document_whatever_comes(words: list[str], code: int, tmp_path: Path) -> None:
    where = [] if "--list" in words or words[0] == "replay" else ["--out", str(tmp_path)]
    ran = untorn(*words, *where, *(() if "--json" in words else ["--json"]), cwd=tmp_path)
    assert ran.returncode == code, ran.stderr
    assert json.loads(ran.stdout)["schema"].startswith("untorn/")


# --- Ctrl-C ---------------------------------------------------------------------------------------


def test_an_interrupt_keeps_what_was_found_and_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, temporary = tmp_path / "found", tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("UNTORN_TEST_INTERRUPT", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    command = [sys.executable, "-m", "untorn_conformance.cli", "explore", "--backend", FIRST]
    with subprocess.Popen(
        [*command, "--out", str(found)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert any(" 0 found" not in line for line in process.stderr), "nothing was found"
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    written = sorted(found.iterdir())
    assert {counterexample.read(each).run.scenario for each in written} == {"writer-writer"}
    assert "stopped: interrupted" in told
    assert told.splitlines()[-1].startswith("untorn replay ")
    assert supervise.marked(str(tmp_path), "UNTORN_TEST_INTERRUPT") == []
    assert os.listdir(temporary) == []


def test_an_interrupt_before_anything_was_found_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_line: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    done = explore_command(
        backend=FIRST, scenarios=("collector-collector",), tree=None, scheduler="dfs",
        preemptions=None, budget_runs=None, budget_s=None, seed=0, grain="metadata", out=tmp_path,
        draw=DRAW, progress=interrupt,
    )  # fmt: skip
    assert (done.exit_code, done.text.splitlines()[-1]) == (130, "stopped: interrupted")
    assert os.listdir(tmp_path) == []
