"""H4 on literal histories: what a handle gives until it is released, with leases and without."""

from __future__ import annotations

import pytest
from untorn_conformance.history import Excuse, Op, OpOutcome
from untorn_conformance.meta.literal_history import Told, found

EVICTED, DAMAGED = OpOutcome.EVICTED, OpOutcome.DAMAGED
UNPUBLISHED = OpOutcome.UNPUBLISHED
LOST = pytest.mark.parametrize("lost", [EVICTED, DAMAGED])


def handed(*, lease: bool, **options: object) -> tuple[Told, Op]:
    """a1 was published from 1 to 2 and hit by r from 3 to 4; its writer let go of it."""
    told = Told(lease=lease, **options)  # type: ignore[arg-type]
    own = told.publish("w1", 1, 2, "a1")
    told.release("w1", 2.1, 2.2, own)
    return told, told.hit("r", 3, 4, "a1")


# --- with leases


@LOST
def test_H4_what_is_held_is_not_lost_to_a_collect(lost: OpOutcome) -> None:
    told, hit = handed(lease=True)
    told.collect("c", 5, 6)
    told.lost("r", 7, 8, hit, lost)
    assert found(told) == {"H4": {"R4"}}


@pytest.mark.parametrize("excuse", [Excuse.STOPS, Excuse.KILLS, Excuse.AGES])
def test_H4_is_not_excused_by_what_takes_no_files(excuse: Excuse) -> None:
    told, hit = handed(lease=True)
    told.strike(0, None, excuse)
    told.lost("r", 7, 8, hit, EVICTED)
    assert found(told) == {"H4": {"R4"}}


@LOST
@pytest.mark.parametrize("lease", [True, False])
@pytest.mark.parametrize("excuse", [Excuse.REMOVES, Excuse.REFUSES])
def test_H4_excuses_a_read_of_what_was_struck(lost: OpOutcome, lease: bool, excuse: Excuse) -> None:
    told, hit = handed(lease=lease)
    told.strike(5, 6, excuse)
    told.lost("r", 7, 8, hit, lost)
    assert found(told) == {}


def test_H4_a_strike_that_was_over_excuses_nothing() -> None:
    told, hit = handed(lease=True)
    told.strike(0, 0.2, Excuse.REMOVES, Excuse.REFUSES)
    told.lost("r", 7, 8, hit, EVICTED)
    assert found(told) == {"H4": {"R4"}}


def test_H4_what_was_never_read_may_have_been_harmed_at_any_time() -> None:
    told = Told(lease=True, present={"a": "a0"})
    told.strike(0, 0.2, Excuse.REMOVES)
    hit = told.hit("r", 3, 4, "", key="a")
    told.lost("r", 7, 8, hit, DAMAGED)
    assert found(told) == {}


def test_H4_a_held_entry_is_not_missed_by_others() -> None:
    told, hit = handed(lease=True)
    told.collect("c", 5, 6)
    told.miss("r2", 7, 8, "a")
    told.release("r", 9, 10, hit)
    assert found(told) == {"H4": {"R4"}}


def test_H4_a_released_entry_may_be_missed_by_others() -> None:
    told, hit = handed(lease=True)
    told.release("r", 4, 5, hit)
    told.collect("c", 5, 6)
    told.miss("r2", 7, 8, "a")
    told.hit("r", 9, 10, "", key="b", files=-1)
    told.publish("w2", 0.8, None, "b1")
    told.death("w2", 20)
    assert found(told) == {}


def test_H4_an_entry_is_not_held_once_its_release_is_asked_for() -> None:
    told, hit = handed(lease=True)
    told.collect("c", 5, 6)
    told.miss("r2", 7, 8, "a")
    told.release("r", 5, None, hit)
    told.death("r", 20)
    assert found(told) == {}


def test_H4_a_process_holds_no_longer_than_it_gives_signs_of_life() -> None:
    """Killed after its last answer, at a time that nobody knows: before its death was seen."""
    told, _ = handed(lease=True)
    told.collect("c", 5, 6)
    told.miss("r2", 7, 8, "a")
    told.death("r", 20)
    assert found(told) == {}


def test_H4_a_process_that_closes_holds_nothing() -> None:
    told, hit = handed(lease=True)
    told.op("r", 4.5, 4.8, "close", outcome=OpOutcome.DONE)
    told.collect("c", 5, 6)
    told.miss("r2", 7, 8, "a")
    told.release("r", 9, 10, hit)
    assert found(told) == {}


def test_H4_a_held_entry_is_not_replaced() -> None:
    told, hit = handed(lease=True)
    told.collect("c", 5, 6)
    told.publish("w2", 7, 8, "a2")
    told.release("r", 9, 10, hit)
    assert found(told) == {"H4": {"R4"}}


def test_H4_a_writer_holds_what_it_published() -> None:
    told = Told(lease=True)
    own = told.publish("w1", 1, 2, "a1")
    told.collect("c", 5, 6)
    told.lost("w1", 7, 8, own, EVICTED)
    assert found(told) == {"H4": {"R4"}}


def test_H4_no_lease_withstands_a_cleaner() -> None:
    told, hit = handed(lease=True)
    told.strike(5, 6, Excuse.REMOVES)
    told.publish("w2", 7, 8, "a2")
    told.release("r", 9, 10, hit)
    assert found(told) == {}


# --- without


@LOST
def test_H4_without_leases_a_collect_may_take_it(lost: OpOutcome) -> None:
    told, hit = handed(lease=False)
    told.collect("c", 5, 6)
    told.lost("r", 7, 8, hit, lost)
    assert found(told) == {}


@LOST
def test_H4_without_leases_nobody_else_may(lost: OpOutcome) -> None:
    told, hit = handed(lease=False)
    told.collect("c", 2, 2.5)
    told.publish("w2", 5, 6, "a2", OpOutcome.ADOPTED)
    told.lost("r", 7, 8, hit, lost)
    assert found(told) == {"H4": {"R1"}}


def test_H4_without_leases_what_is_too_young_stays() -> None:
    told, hit = handed(lease=False)
    told.collect("c", 5, 6, min_age_s=1.0)
    told.lost("r", 7, 8, hit, EVICTED)
    assert found(told) == {"H4": {"G3"}}


@pytest.mark.parametrize(("lease", "rows"), [(True, {"R4"}), (False, {"R1"})])
def test_H4_what_a_handle_gave_before_tells_that_no_strike_harmed_it(
    lease: bool, rows: set[str]
) -> None:
    told, hit = handed(lease=lease)
    told.strike(0, 0.2, Excuse.REMOVES)
    told.lost("r", 7, 8, hit, DAMAGED)
    assert found(told) == {"H4": rows}


@pytest.mark.parametrize(("lease", "expected"), [(True, {"H4": {"R4"}}), (False, {})])
def test_H4_what_a_handle_gives_later_tells_it_only_if_it_is_held(
    lease: bool, expected: dict[str, set[str]]
) -> None:
    """Without leases it may have lost what was there at the start, and find what came then."""
    told = Told(lease=lease, present={"a": "a0"} if not lease else {})
    told.strike(0, 0.2, Excuse.REMOVES)
    if lease:
        told.publish("w1", 1, 2, "a1")
    hit = told.hit("r", 3, 4, "", key="a")
    told.lost("r", 5, 6, hit, EVICTED)
    if not lease:
        told.publish("w1", 6.5, 7, "a1")
    told.read("r", 8, 9, hit, "a1")
    assert found(told) == expected


# --- unpublished


@LOST
@pytest.mark.parametrize("lease", [True, False])
def test_H4_nobody_takes_the_callers_own_frames(lost: OpOutcome, lease: bool) -> None:
    told = Told(lease=lease)
    own = told.publish("w1", 1, 2, "a1", UNPUBLISHED)
    told.collect("c", 3, 4)
    told.lost("w1", 5, 6, own, lost)
    assert found(told) == {"H4": {"P5"}}


def test_H4_excuses_own_frames_that_were_staged_while_calls_failed() -> None:
    told = Told()
    told.strike(0.6, 0.7, Excuse.REFUSES)
    own = told.publish("w1", 1, 2, "a1", UNPUBLISHED, reason="ENOSPC")
    told.lost("w1", 5, 6, own, DAMAGED)
    assert found(told) == {}


def test_H4_excuses_own_frames_that_a_cleaner_may_have_taken() -> None:
    told = Told()
    told.strike(0.6, 0.7, Excuse.REMOVES)
    own = told.publish("w1", 1, 2, "a1", UNPUBLISHED)
    told.lost("w1", 5, 6, own, EVICTED)
    assert found(told) == {}
