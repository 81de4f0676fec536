"""A correct cache is never blamed, whatever interleaves, dies and strikes; a flawed one is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from untorn_conformance.checkers.storm.judging import CHECKERS, judge
from untorn_conformance.history import Excuse, Op, OpOutcome
from untorn_conformance.meta.imagined import Imagined
from untorn_conformance.meta.imagined_flaws import Flaw
from untorn_conformance.meta.lifelike_history import lifelike

SEEDS = 50


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(min_value=0, max_value=2**32 - 1))
def test_a_correct_cache_is_never_blamed(seed: int) -> None:
    judged = judge(Imagined(seed).play())
    assert judged.violations == ()
    assert judged.unknown == {}


@pytest.mark.parametrize("flaw", list(Flaw))
def test_a_flaw_is_seen_by_its_checker(flaw: Flaw) -> None:
    blamed = [
        seed
        for seed in range(SEEDS)
        if any(
            each.checker == flaw.checker
            for each in judge(Imagined(seed, flaw=flaw).play()).violations
        )
    ]
    assert len(blamed) >= 3, f"{flaw.name} is seen in {len(blamed)} of {SEEDS} rounds"


@pytest.mark.parametrize("flaw", [flaw for flaw in Flaw if flaw.row])
def test_a_flaw_of_collects_alone_is_seen_where_they_are_weighed(flaw: Flaw) -> None:
    """By the rules of weighed collects, and as the requirement that it breaks."""
    told = [
        each for seed in range(SEEDS) for each in judge(Imagined(seed, flaw=flaw).play()).violations
    ]
    alone = [each for each in told if "a collect alone" in each.message]
    assert sum(flaw.row in each.requirements for each in alone) >= 3
    assert flaw.checker in {each.checker for each in alone if flaw.row in each.requirements}


def test_every_checker_has_a_flaw() -> None:
    assert {flaw.checker for flaw in Flaw} == set(CHECKERS)


def test_the_imagined_rounds_have_everything_in_them() -> None:
    """The control of the first test: what excuses is there, and so is what is to be excused."""
    rounds = [Imagined(seed).play() for seed in range(25)]
    outcomes = {op.outcome for each in rounds for op in each.ops}
    never = {OpOutcome.UNCACHED, OpOutcome.ERROR}
    assert outcomes == {*OpOutcome, None} - never
    struck = {excuse for each in rounds for strike in each.strikes for excuse in strike.excuses}
    assert struck == set(Excuse)
    assert {"lease" in each.start.capabilities for each in rounds} == {True, False}


def test_a_long_round_is_judged_as_lawful() -> None:
    """The round that the checkers' speed is measured on: it is lawful, and there is much in it."""
    round_ = lifelike(50_000)
    judged = judge(round_)
    assert judged.violations == ()
    assert judged.unknown == {}
    assert {op.verb for op in round_.ops} >= {"lookup", "read", "release", "publish", "collect"}


def test_a_long_round_with_one_wrong_miss_is_not() -> None:
    """The control of the one before: amid hits of one version one of its hits was a miss."""
    round_ = lifelike(50_000)
    hits: dict[str, list[Op]] = {}
    for op in round_.ops:
        if op.seen is not None and op.index == 0:
            hits.setdefault(op.seen.version, []).append(round_.ops[op.via])
    of_one = next(some for some in hits.values() if len(some) > 10)
    amid = of_one[len(of_one) // 2]
    missed = replace(amid, verb="lookup", outcome=OpOutcome.MISS, reason="absent", files=-1)
    ops = [missed if op is amid else op for op in round_.ops]
    (violation,) = judge(replace(round_, ops=tuple(ops))).violations
    assert violation.checker == "H3"  # collects had run in between
    assert amid.id in violation.operations
