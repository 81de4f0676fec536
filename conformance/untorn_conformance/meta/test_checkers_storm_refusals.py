"""H10 on literal histories: publishes that are refused though nothing failed."""

from __future__ import annotations

import pytest
from untorn_conformance.history import Excuse, OpOutcome
from untorn_conformance.meta.literal_history import Told, found

REFUSED = {"H10": {"L2", "P5"}}
SWEPT = {"H10": {"L2", "P5", "G4"}}


def refused(reason: str, **options: object) -> Told:
    """w1 opened at 0, staged a1 at 10, and was told unpublished at 21."""
    told = Told(**options)  # type: ignore[arg-type]
    told.op("w1", 0, 1, "open", outcome=OpOutcome.DONE)
    told.stage("w1", 10, 11, "a1")
    told.publish("w1", 20, 21, "a1", OpOutcome.UNPUBLISHED, reason=reason)
    return told


@pytest.mark.parametrize("reason", ["EIO", "EACCES", "errno", "ENOENT", "busy"])
def test_H10_a_publish_is_not_refused_for_nothing(reason: str) -> None:
    assert found(refused(reason)) == REFUSED


@pytest.mark.parametrize(
    "reason", ["EEXIST", "ENOTEMPTY", "ENOSPC", "EMFILE", "ENOLCK", "untrusted", "too-large"]
)
def test_H10_a_publish_may_be_refused_by_what_no_strike_tells(reason: str) -> None:
    assert found(refused(reason)) == {}


@pytest.mark.parametrize("excuse", [Excuse.REFUSES, Excuse.REMOVES])
@pytest.mark.parametrize(("begin", "end"), [(2, 3), (12, 13), (20.5, None)])
@pytest.mark.parametrize("reason", ["EIO", "ENOENT", "busy"])
def test_H10_a_strike_since_the_process_last_tried_refuses(
    excuse: Excuse, begin: float, end: float | None, reason: str
) -> None:
    told = refused(reason)
    told.strike(begin, end, excuse)
    assert found(told) == {}


@pytest.mark.parametrize("excuse", [Excuse.KILLS, Excuse.STOPS, Excuse.AGES])
def test_H10_a_strike_on_others_refuses_nothing(excuse: Excuse) -> None:
    told = refused("EIO")
    told.strike(12, 13, excuse)
    assert found(told) == REFUSED


def test_H10_a_process_finds_out_by_one_publish_after_a_strike() -> None:
    told = refused("EIO")
    told.strike(2, 3, Excuse.REFUSES)
    told.publish("w1", 30, 31, "a2", OpOutcome.UNPUBLISHED, reason="EIO")
    assert found(told) == REFUSED


def test_H10_a_strike_before_the_process_opened_refuses_nothing() -> None:
    told = Told()
    told.strike(0, 1, Excuse.REFUSES)
    told.op("w1", 2, 3, "open", outcome=OpOutcome.DONE)
    told.publish("w1", 20, 21, "a1", OpOutcome.UNPUBLISHED, reason="EIO")
    assert found(told) == REFUSED


# --- races


@pytest.mark.parametrize("reason", ["ENOENT", "EAGAIN"])
def test_H10_others_at_work_on_the_key_race(reason: str) -> None:
    told = refused(reason)
    told.miss("r", 20.5, 22, "a")
    assert found(told) == {}


def test_H10_others_at_work_on_the_key_fail_no_call() -> None:
    told = refused("EIO")
    told.miss("r", 20.5, 22, "a")
    assert found(told) == REFUSED


def test_H10_others_at_work_on_another_key_race_with_nobody() -> None:
    told = refused("ENOENT")
    told.miss("r", 20.5, 22, "b")
    assert found(told) == REFUSED


def test_H10_a_collect_beside_races() -> None:
    told = refused("ENOENT")
    told.collect("c", 20.5, 22, 0)
    assert found(told) == {}


@pytest.mark.parametrize(("begin", "end"), [(12, 13), (9, 10.5)])
def test_H10_a_collect_before_swept_the_staging_of_one_that_lives(begin: float, end: float) -> None:
    told = refused("ENOENT")
    told.collect("c", begin, end, 0)
    assert found(told) == SWEPT


def test_H10_a_backend_that_collects_by_itself_races_with_itself() -> None:
    assert found(refused("ENOENT", budget_bytes=10)) == {}
    assert found(refused("EIO", budget_bytes=10)) == REFUSED


# --- busy


@pytest.mark.parametrize(("begin", "end"), [(5, 10), (15, 16), (21, 22)])
def test_H10_busy_needs_somebody_at_work(begin: float, end: float) -> None:
    told = refused("busy")
    told.miss("r", begin, end, "a")
    assert found(told) == {}


@pytest.mark.parametrize(("begin", "end"), [(5, 9), (22, 23)])
def test_H10_who_was_at_work_before_or_after_makes_nothing_busy(begin: float, end: float) -> None:
    told = refused("busy")
    told.miss("r", begin, end, "a")
    assert found(told) == REFUSED


def test_H10_a_collect_makes_all_keys_busy() -> None:
    told = refused("busy")
    told.collect("c", 5, 15, 0)
    assert found(told) == {}


def holder(released: float | None, died: float | None = None, **options: object) -> Told:
    """r holds key a from 6 on."""
    told = refused("busy", present={"a": "a0"}, **options)
    hit = told.hit("r", 5, 6, "a0")
    if released is not None:
        told.release("r", released, released + 1, hit)
    if died is not None:
        told.death("r", died)
    return told


def test_H10_who_holds_the_key_makes_it_busy() -> None:
    assert found(holder(None)) == {}
    assert found(holder(12)) == {}
    assert found(holder(7)) == REFUSED


def test_H10_who_ended_counts_for_the_grace() -> None:
    assert found(holder(None, died=7, limits={"reap_grace_s": 0.005})) == {}
    assert found(holder(None, died=7, limits={"reap_grace_s": 0.002})) == REFUSED
    assert found(holder(None, died=7)) == {}


def test_H10_work_that_is_staged_makes_its_key_busy() -> None:
    told = refused("busy")
    told.stage("w2", 2, 3, "a2")
    assert found(told) == {}
    told = refused("busy")
    told.op("w2", 4, 5, "abandon", via=told.stage("w2", 2, 3, "a2").id, outcome=OpOutcome.DONE)
    assert found(told) == REFUSED
