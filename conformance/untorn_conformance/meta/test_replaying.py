"""`untorn replay`: a run that was not made again as it was is not called fixed."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from untorn_conformance import registry, subjects
from untorn_conformance.meta.asking import FIRST, explore, replay
from untorn_stress import counterexample, run_json
from untorn_stress.counterexample import Counterexample, MadeWith
from untorn_stress.explorer import record
from untorn_stress.gate.availability import probe
from untorn_stress.gate.supervisor import UndecidedError
from untorn_stress.gated import Choose, GatedRun, GatedSystem
from untorn_stress.grain import Grain
from untorn_stress.run import Run
from untorn_stress.schedulers.protocol import Ending, ScheduleMismatchError
from untorn_stress.token import Token, TokenError

pytestmark = pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")

UNDECIDED = UndecidedError("no answer in time")
ASTRAY = ScheduleMismatchError("step 3: the schedule wants A, on offer: B")


@pytest.fixture(scope="module")
def clean() -> Counterexample:
    """A run without preemption, in which nothing is wrong, as if it were a counterexample."""
    hello = subjects.ask_hello(registry.parse(FIRST), Path(tempfile.gettempdir()))
    token = Token(
        backend=FIRST,
        identity=f"{hello.name}@{hello.version}",
        scenario="writer-writer",
        tree="empty",
        bound=0,
        choices=(),
    )
    done = replay(token)
    assert done.exit_code == 0, done.text
    document = {name: each for name, each in done.document["run"].items() if name != "schema"}
    run = run_json.of_json(document)
    token = replace(token, choices=run.choices)
    return Counterexample(token=token, run=run, tree=[], made_with=MadeWith.here())


@pytest.fixture(scope="module")
def race(tmp_path_factory: pytest.TempPathFactory) -> Token:
    found = explore(FIRST, tmp_path_factory.mktemp("out"), "writer-writer", runs=60)
    return next(
        Token.decode(each["token"])
        for each in found.document["found"]
        if each["requirement"] == "P2"
    )


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Exception], None]:
    """Make the n-th run of every recorded system fail."""

    def arrange(wanted: int, error: Exception) -> None:
        run, made = GatedSystem.run, 0

        def failing(system: GatedSystem, choose: Choose) -> GatedRun:
            nonlocal made
            made += system.record
            if system.record and made == wanted:
                raise error
            return run(system, choose)

        monkeypatch.setattr(GatedSystem, "run", failing)

    return arrange


def test_a_run_that_ends_before_its_schedule_is_undecided(clean: Counterexample) -> None:
    done = replay(replace(clean.token, choices=(*clean.token.choices, *"B" * 500)))
    assert done.exit_code == 6
    assert "the schedule wants B, on offer: nothing, the run is over" in done.text


def test_a_finding_whose_schedule_is_not_used_up_did_not_come_again() -> None:
    run = Run(scenario="s", tree="t", seed=0, choices=("A",), steps=(), operations=())

    class EndsAtOnce:
        record = False

        def run(self, _choose: Choose) -> GatedRun:
            return GatedRun(run=run, ending=Ending(None, cut=False))

    assert record(cast("GatedSystem", EndsAtOnce()), run) is None


def test_the_run_of_a_file_made_again_is_an_answer(clean: Counterexample, tmp_path: Path) -> None:
    path = tmp_path / "clean.json"
    counterexample.write(path, clean)
    assert replay(clean.token, file=path).exit_code == 0


def test_a_run_that_is_not_that_of_its_file_is_undecided(
    clean: Counterexample, tmp_path: Path
) -> None:
    steps = list(clean.run.steps)
    steps[2] = replace(steps[2], detail="elsewhere\x1b")
    path = tmp_path / "other.json"
    counterexample.write(path, replace(clean, run=replace(clean.run, steps=tuple(steps))))
    done = replay(clean.token, file=path)
    assert done.exit_code == 6
    assert "it is not the one of the file: step 2 was 'A " in done.document["doubt"]
    assert "elsewhere\\x1b" in done.text


@pytest.mark.parametrize(
    ("error", "shown", "told"),
    [
        (ASTRAY, 2, "besides: 1 of 3 went another way: replay 2, step 3"),
        (UNDECIDED, 1, "besides: replay 2: no answer in time"),
    ],
)
def test_what_was_shown_once_was_found(
    race: Token, fail: Callable[[int, Exception], None], error: Exception, shown: int, told: str
) -> None:
    fail(2, error)
    done = replay(race, times=3)
    assert (done.exit_code, done.document["shown"]) == (1, {"P2 winners": shown})
    assert told in done.text


def test_what_was_shown_after_a_replay_that_went_another_way_was_found(
    race: Token, fail: Callable[[int, Exception], None]
) -> None:
    fail(1, ASTRAY)
    assert replay(race, times=2).exit_code == 1


@pytest.mark.parametrize("error", [ASTRAY, UNDECIDED, OSError("the disk is full")])
def test_a_clean_run_beside_one_that_was_not_made_is_no_answer(
    clean: Counterexample, fail: Callable[[int, Exception], None], error: Exception
) -> None:
    fail(2, error)
    done = replay(clean.token, times=2)
    assert done.exit_code == (7 if isinstance(error, OSError) else 6)
    assert str(error) in done.text


def test_a_death_is_explored_and_replayed(tmp_path: Path) -> None:
    backend = "py:untorn_conformance.specimens.after_review:factory_reversed"
    done = explore(backend, tmp_path, "reader-collector", tree="published", preemptions=0, kills=1)
    (found,) = done.document["found"]
    assert (done.exit_code, found["requirement"]) == (1, "C1")
    assert "!kill" in done.text
    again = replay(Token.decode(found["token"]), times=3, backend=backend)
    assert again.exit_code == 1, again.text
    assert "C1 in-part: 3 of 3 times" in again.text


SPECIMEN = "py:untorn_conformance.specimens.after_review:factory"


def test_a_failed_call_is_explored_and_replayed(tmp_path: Path) -> None:
    done = explore(
        SPECIMEN, tmp_path, "failing-lookup", tree="published", errnos=1, grain="data", runs=40
    )
    found = next(each for each in done.document["found"] if each["requirement"] == "D2")
    assert done.exit_code == 1
    again = replay(Token.decode(found["token"]), times=3, backend=SPECIMEN)
    assert again.exit_code == 1, again.text
    assert "D2 error: 3 of 3 times" in again.text


@pytest.mark.parametrize("gone", ["A!ENOSPC", "A!EMADEUP", "A!kill.parent"])
def test_a_fault_whose_site_is_there_no_longer_is_named(gone: str) -> None:
    hello = subjects.ask_hello(registry.parse(SPECIMEN), Path(tempfile.gettempdir()))
    token = Token(
        backend=SPECIMEN,
        identity=f"{hello.name}@{hello.version}",
        scenario="failing-lookup",
        tree="published",
        grain=Grain.DATA,
        bound=0,
        choices=(gone,),
    )
    done = replay(token)
    assert done.exit_code == 6
    assert f"step 0: the schedule wants {gone}, on offer: A" in done.text


def test_of_a_token_from_a_stranger_nothing_is_looked_at_where_a_backend_is_given(
    clean: Counterexample, tmp_path: Path
) -> None:
    description = tmp_path / "backend.toml"
    description.write_text("this is no TOML")
    token = replace(clean.token, backend=f"file:{description}")
    with pytest.raises(TokenError, match="cannot be: "):
        replay(token)
    with pytest.raises(TokenError) as refused:
        replay(token, backend=clean.token.backend)
    assert "is not TOML" not in str(refused.value)
