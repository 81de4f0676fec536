"""The fast judges agree with the slow law on drawn rounds, lawful ones and flawed ones."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from untorn_conformance.checkers.storm.collects import Weighing
from untorn_conformance.checkers.storm.judging import judge
from untorn_conformance.checkers.storm.timeline import Timeline
from untorn_conformance.checkers.storm.violation import Deadline
from untorn_conformance.history import Op, OpOutcome, Round
from untorn_conformance.meta import slow_law
from untorn_conformance.meta.imagined import Imagined
from untorn_conformance.meta.imagined_flaws import Flaw
from untorn_conformance.meta.literal_history import Told

SEEDS = 14
"""Rounds of each flaw and of none: more than two hundred in all."""

FAMILIES = ("miss.", "hit", "published", "adopted", "unpublished")


def drawn(flaw: Flaw | None) -> list[Round]:
    return [Imagined(seed, flaw=flaw).play() for seed in range(1000, 1000 + SEEDS)]


@pytest.mark.parametrize("flaw", [None, *Flaw])
def test_a_collect_is_alone_where_the_slow_law_says_so(flaw: Flaw | None) -> None:
    for round_ in drawn(flaw):
        assert_alike(round_)


def test_it_is_so_where_little_happens() -> None:
    """The control: of these a part is alone, and a part is not."""
    found = Counter[bool]()
    for seed in range(200):
        found.update(assert_alike(sparse(seed)))
    assert min(found[True], found[False]) > 50


def assert_alike(round_: Round) -> list[bool]:
    timeline = Timeline(round_, Deadline(None))
    weighing = Weighing(timeline)
    fast = [weighing.is_alone(op) for op in timeline.collects]
    assert fast == [
        slow_law.is_alone(timeline, op) and weighing.only_entries(op) for op in timeline.collects
    ]
    return fast


def sparse(seed: int) -> Round:
    """A few operations with pauses between them, some of which have no answer."""
    draw, told, now = random.Random(seed), Told(), 0.0
    for number in range(10):
        now += draw.choice([0.5, 2.0, 20.0])
        begin, process = now, f"p{number}"
        end = draw.choice([begin + 1, begin + 1, begin + 1, begin + 30, None])
        verb = draw.choice(["collect", "collect", "hit", "miss", "stats", "release"])
        if verb == "collect":
            told.collect("c", begin, end)
        elif verb == "hit" and end is not None:
            hit = told.hit(process, begin, end, "a1")
            if draw.random() < 0.7:  # others hold it until they die
                told.release(process, end, draw.choice([end + 1, end + 40, None]), hit)
        else:
            told.op(process, begin, end, "lookup", key="a", outcome=OpOutcome.MISS)
        if end is None or draw.random() < 0.2:
            told.death(process, begin + draw.choice([1, 3, 50]))
    return told.round


@pytest.mark.parametrize("flaw", [None, *Flaw])
def test_counters_are_wrong_where_the_slow_law_says_so(flaw: Flaw | None) -> None:
    for round_ in drawn(flaw):
        blamed = {
            op
            for each in judge(round_).violations
            if each.checker == "H8"
            for op in each.operations
        }
        told = [op for op in round_.ops if op.outcome is OpOutcome.COUNTED]
        wrong = {op.id for op in told if differs(round_, op)}
        assert blamed <= wrong
        assert flaw is not Flaw.COUNTS_TWICE or bool(blamed) == bool(wrong)


def differs(round_: Round, stats: Op) -> bool:
    due = slow_law.counters(round_, stats)
    told = Counter[str]()
    for name, number in stats.numbers.items():
        if name.startswith(FAMILIES):
            told["unpublished" if name.startswith("unpublished.") else name] += int(number)
    return +told != due
