"""The operations of a run that was not made are those that it has when it is."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from untorn_conformance.backend import Verb
from untorn_stress.gate.availability import probe
from untorn_stress.gated import GatedRun, GatedSystem
from untorn_stress.laboratory import Laboratory
from untorn_stress.player import Ledger
from untorn_stress.run import Run
from untorn_stress.scenario import Ask
from untorn_stress.scenarios import scenario
from untorn_stress.schedulers.protocol import Moment, Option
from untorn_stress.schedulers.uniform import Uniform
from untorn_stress.score import score_of

pytestmark = pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")

Make = Callable[..., Laboratory]
DRAWN = 40


def system_of(laboratory: Laboratory, name: str, *, kills: bool = False) -> GatedSystem:
    played = scenario(name)
    return laboratory.system(played, laboratory.natural(played.tree), kills=kills)


def first(letters: str) -> Callable[[Moment], Option]:
    """Who stands first in the letters goes first, to the end."""

    def choose(moment: Moment) -> Option:
        return min(moment.options, key=lambda each: letters.index(each.actor))

    return choose


def drawn(system: GatedSystem) -> list[GatedRun]:
    scheduler = Uniform(seed=1, runs=DRAWN)
    runs = []
    while scheduler.begin():
        runs.append(system.run(scheduler.choose))
        scheduler.end(runs[-1].ending)
    return runs


def alike(one: Run, other: Run) -> bool:
    """Whether each worker took as many steps and was answered the same."""
    told = [
        (Counter(run.choices), sorted((str(each.answer), each.worker) for each in run.operations))
        for run in (one, other)
    ]
    return told[0] == told[1]


@pytest.mark.parametrize(
    ("name", "kills"), [("reader-writer", False), ("adopt", False), ("writer-writer", True)]
)
def test_operations_laid_on_another_order_are_those_of_a_run_in_it(
    laboratory_of: Make, name: str, kills: bool
) -> None:
    compared = 0
    runs = drawn(system_of(laboratory_of(), name, kills=kills))
    for known, other in itertools.permutations(runs, 2):
        if known.left is not None and alike(known.run, other.run):
            assert known.left.score.laid_on(other.run.choices) == other.run.operations
            compared += known.run.choices != other.run.choices
    assert compared > 0


def test_who_answered_in_another_s_step_or_before_any_has_no_score(laboratory_of: Make) -> None:
    run = system_of(laboratory_of(), "reader-writer").run(first("AB")).run

    def scored(ended: int) -> bool:
        ledger = Ledger()
        asked = ledger.begin("A", Ask(verb=Verb.LOOKUP))
        asked.ended = ended
        return score_of(ledger, run.choices) is not None

    own = run.choices.index("A") + 1
    others = run.choices.index("B") + 1
    assert [scored(ended) for ended in (own, -1, 0, others)] == [True, True, False, False]


def test_an_order_in_which_the_same_answers_are_wrong_is_made(laboratory_of: Make) -> None:
    system = system_of(laboratory_of(), "reader-writer")
    known = system.run(first("AB"))  # the reader misses, and then the writer publishes
    labels = known.run.choices
    assert system.reordered(known, labels) == ""
    assert system.reordered(known, tuple(sorted(labels, reverse=True))) is None


def test_what_is_left_of_a_run_that_was_not_made_is_told(laboratory_of: Make) -> None:
    system = system_of(laboratory_of(), "reader-writer")
    told: list[Run] = []
    system.on_left = lambda run, _start: told.append(run)
    known = system.run(first("AB"))
    assert system.reordered(known, known.run.choices) == ""
    assert [replace(each, findings=()) for each in told] == [known.run, known.run]


def test_a_run_that_showed_something_leaves_nothing_to_go_by(laboratory_of: Make) -> None:
    wrong = """
def lookup(self, *, key):
    from untorn_conformance.backend import Miss
    return Miss()
"""
    known = system_of(laboratory_of(wrong), "reader-writer").run(first("BA"))
    assert known.run.findings
    assert known.left is None
