"""Composed scenarios: their names say all of them, and their labels are looked at afterwards."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from untorn_conformance.backend import Collected, Hit, Staged, Verb
from untorn_stress.composition import (
    TASKS_MAX,
    WORKERS_MAX,
    Task,
    TaskKind,
    composed,
    name_of,
    scenario_of,
)
from untorn_stress.payloads import LABELS, Payloads
from untorn_stress.scenario import Program
from untorn_stress.scenarios import SCENARIOS, labels_of
from untorn_stress.token import Token

WRITE, READ, COLLECT = (
    Task(kind=TaskKind.WRITE, label="k"),
    Task(kind=TaskKind.READ, label="k"),
    Task(kind=TaskKind.COLLECT),
)
EVERY = (
    WRITE,
    READ,
    COLLECT,
    Task(kind=TaskKind.WRITE, label="l"),
    Task(kind=TaskKind.READ, label="l"),
)


def test_a_name_tells_who_does_what() -> None:
    assert name_of(((WRITE,), (READ, COLLECT))) == "machine-wk-rk_c"


def test_every_name_is_read_back() -> None:
    for tasks in itertools.product(EVERY, repeat=2):
        for composition in ((tasks,), (tasks, (COLLECT,)), (tasks, tasks, tasks)):
            assert scenario_of(name_of(composition)).name == name_of(composition)


def test_the_longest_name_fits_into_a_token() -> None:
    longest = ((WRITE,) * TASKS_MAX,) * WORKERS_MAX
    token = Token(
        backend="b", identity="b@1", scenario=name_of(longest), tree="empty", bound=0, choices=()
    )
    assert Token.decode(token.encode()) == token


def test_a_name_of_the_catalogue_means_the_scenario_there() -> None:
    assert [scenario_of(each.name) for each in SCENARIOS] == list(SCENARIOS)


@pytest.mark.parametrize(
    "name",
    [
        "machine-",
        "machine-w",
        "machine-wm",
        "machine-ck",
        "machine-xk",
        "machine-wk-",
        "machine-wk_-c",
        "machine-c-c-c-c",
        "machine-c_c_c_c_c",
        "no-such",
    ],
)
def test_what_is_no_name_is_refused_with_it(name: str) -> None:
    with pytest.raises(KeyError, match="no scenario"):
        scenario_of(name)


def test_every_key_that_is_used_is_looked_at_afterwards() -> None:
    played = scenario_of("machine-wl-c")
    assert labels_of(played, "empty") == LABELS
    assert labels_of(played, "harvest-1a2b3c4d") == LABELS
    assert labels_of(scenario_of("machine-c-c"), "empty") == ("k",)


def test_a_worker_takes_up_its_tasks_in_turn(tmp_path: Path) -> None:
    (program,) = composed(((WRITE, COLLECT, READ),)).programs
    assert asked(program, tmp_path) == [Verb.STAGE, Verb.COLLECT, Verb.LOOKUP]


def asked(program: Program, folder: Path) -> list[Verb]:
    """What a worker is asked that can publish nothing and finds nothing."""
    verbs = []
    answers = iter([None, Collected(evicted=0, freed_bytes=0, reaped=0), None])
    played = program(Payloads(folder))
    ask = next(played, None)
    while ask is not None:
        verbs.append(ask.verb)
        try:
            ask = played.send(next(answers))
        except StopIteration:
            ask = None
    return verbs


def test_worker_b_writes_as_wb(tmp_path: Path) -> None:
    program = composed(((READ,), (WRITE,))).programs[1]
    assert next(program(Payloads(tmp_path))).tag == "wB"


def test_a_worker_uses_what_each_task_gave_it(tmp_path: Path) -> None:
    (program,) = composed(((READ, WRITE),)).programs
    played = program(Payloads(tmp_path))
    next(played)
    first = played.send(Hit(handle="h", files=("frame_00001.png",)))
    assert (first.verb, played.send(None).verb, played.send(None).verb) == (
        Verb.READ,
        Verb.RELEASE,
        Verb.STAGE,
    )
    assert played.send(Staged(handle="s")).verb is Verb.PUBLISH
