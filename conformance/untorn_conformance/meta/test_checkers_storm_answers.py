"""H8, H9 and H10 on literal histories: counters, leftovers, errors, silence and deaths."""

from __future__ import annotations

import pytest
from untorn_conformance.checkers.storm.judging import judge
from untorn_conformance.history import Death, Excuse, OpOutcome
from untorn_conformance.meta.literal_history import Told, found

ADOPTED, UNPUBLISHED = OpOutcome.ADOPTED, OpOutcome.UNPUBLISHED

# --- H8


def counted(**counters: float) -> Told:
    """A process that hit once, missed twice, published once and was refused once."""
    told = Told(stats=True)
    told.op("p", 0, 0.1, "open", outcome=OpOutcome.DONE)
    told.miss("p", 0.2, 0.3, "a")
    told.publish("p", 1, 2, "a1")
    told.hit("p", 3, 4, "a1")
    told.miss("p", 5, 6, "b", "busy")
    told.publish("p", 7, 8, "b1", UNPUBLISHED, reason="ENOSPC")
    told.publish("p", 9, 10, "a2", ADOPTED)
    right = {"hit": 1, "miss__absent": 1, "miss__busy": 1, "published": 1, "adopted": 1}
    told.stats("p", 20, 21, **{**right, "unpublished__ENOSPC": 1, **counters})
    return told


def test_H8_counters_that_equal_the_answers_are_right() -> None:
    assert found(counted(degraded__ENOSPC=7, own_counter=3)) == {}


@pytest.mark.parametrize(
    "counters",
    [
        {"hit": 2},
        {"hit": 0},
        {"miss__absent": 2},
        {"miss__damaged": 1},
        {"published": 0},
        {"adopted": 2},
        {"unpublished__ENOSPC": 0},
        {"unpublished__busy": 1},
        {"collect_skipped__busy": -1},
    ],
)
def test_H8_counters_that_do_not_equal_the_answers(counters: dict[str, float]) -> None:
    assert found(counted(**counters)) == {"H8": {"O1"}}


def test_H8_who_declares_no_counters_is_not_judged() -> None:
    told = Told()
    told.stats("p", 20, 21, hit=9)
    assert found(told) == {}


def test_H8_counters_begin_anew_at_each_open() -> None:
    told = counted()
    told.op("p", 22, 23, "open", outcome=OpOutcome.DONE)
    told.stats("p", 24, 25, hit=0)
    assert found(told) == {}


def test_H8_an_error_before_leaves_it_open_what_was_counted() -> None:
    told = counted(hit=2)
    told.error("p", 15, 16, "lookup", "deadline", key="a")
    assert "H8" not in found(told)


@pytest.mark.parametrize("excuse", [Excuse.REFUSES, Excuse.REMOVES])
def test_H8_a_strike_before_leaves_it_open_what_was_counted(excuse: Excuse) -> None:
    told = counted(hit=2)
    told.strike(15, 16, excuse)
    assert found(told) == {}


def collector(publishes: bool, **counters: float) -> Told:
    """A process that evicted one entry of 10 bytes, and was skipped once."""
    told = Told(stats=True)
    told.op("p", 0, 0.1, "open", outcome=OpOutcome.DONE)
    if publishes:
        told.publish("p", 1, 2, "a1")
        counters["published"] = 1
    told.collect("p", 3, 4, 1, freed_bytes=10, reaped=2)
    told.collect("p", 5, 6, 7, dry_run=1)
    told.op("p", 7, 8, "collect", outcome=OpOutcome.SKIPPED, reason="another-collector")
    right = {"evicted": 1, "freed_bytes": 10, "reaped": 2, "collect_skipped__another-collector": 1}
    told.stats("p", 20, 21, **{**right, **counters})
    return told


def test_H8_collects_are_counted_as_they_were_answered() -> None:
    assert found(collector(False)) == {}
    assert found(collector(False, evicted=2)) == {"H8": {"O1"}}
    assert found(collector(False, **{"collect_skipped__another-collector": 0})) == {"H8": {"O1"}}


def test_H8_a_cache_that_publishes_may_have_collected_by_itself() -> None:
    assert found(collector(True, evicted=2, reaped=3)) == {}
    assert found(collector(True, freed_bytes=9)) == {"H8": {"O1"}}


# --- H9


def test_H9_nothing_is_left() -> None:
    told = Told()
    told.audited(debris=("staging/1", "trash/2"), counted_bytes=10, disk_bytes=10)
    assert found(told) == {"H9": {"C3", "G4"}}


def test_H9_bytes_are_counted_as_they_weigh() -> None:
    told = Told()
    told.audited(counted_bytes=10, disk_bytes=11)
    assert found(told) == {"H9": {"E3", "G7"}}
    told.audited(counted_bytes=11, disk_bytes=11)
    assert found(told) == {}
    told.audited(counted_bytes=None, disk_bytes=11)
    assert found(told) == {}


def test_H9_what_is_not_the_caches_stays_whatever_strikes() -> None:
    """The auditor leaves out what a strike took."""
    told = Told()
    told.strike(1, 2, Excuse.REMOVES)
    told.audited(harmed=("in the root: stranger.lock",))
    assert found(told) == {"H9": {"G5"}}


def test_H9_what_was_thinned_keeps_its_counted_size() -> None:
    told = Told()
    told.strike(1, 2, Excuse.REMOVES)
    told.audited(counted_bytes=12, disk_bytes=11)
    assert found(told) == {}
    told.audited(debris=("trash/2",))
    assert found(told) == {"H9": {"C3", "G4"}}


# --- H10: errors


@pytest.mark.parametrize(
    ("verb", "row"), [("lookup", "R6"), ("publish", "P5"), ("collect", "G2"), ("close", "L2")]
)
def test_H10_no_verb_ends_in_an_error(verb: str, row: str) -> None:
    told = Told()
    told.error("p", 1, 2, verb, "internal", key="a")
    assert found(told) == {"H10": {row}}


def test_H10_what_an_error_said_is_told() -> None:
    told = Told()
    told.error("p", 1, 2, "age", "internal", message="PermissionError: not permitted")
    (violation,) = judge(told.round).violations
    assert "PermissionError: not permitted" in violation.message


def test_H10_a_fault_gives_an_answer_and_no_error() -> None:
    told = Told()
    told.strike(0, 1.5, Excuse.REFUSES)
    told.error("p", 1, 2, "stage", "internal", key="a")
    assert found(told) == {"H10": {"D2"}}


def test_H10_a_death_amid_an_operation_is_no_answer() -> None:
    told = Told()
    told.error("p", 1, 2, "lookup", "died", key="a")
    assert found(told) == {}


def test_H10_a_line_that_is_no_message_is_no_answer() -> None:
    told = Told()
    told.error("p", 1, 2, "lookup", "protocol", key="a")
    assert found(told) == {"H10": {"R6"}}
    (violation,) = judge(told.round).violations
    assert "no answer" in violation.message


@pytest.mark.parametrize("code", ["decoder-failed", "bad-clip", "source-changed"])
@pytest.mark.parametrize("excuse", [Excuse.KILLS, Excuse.REFUSES])
def test_H10_a_decoder_may_fail_clearly_where_it_was_struck(code: str, excuse: Excuse) -> None:
    told = Told()
    told.error("p", 1, 2, "extract", code, key="a")
    assert found(told) == {"H10": {"L2"}}
    told.strike(1, 2, excuse)
    assert found(told) == {}


def test_H10_a_root_may_be_refused_while_its_permissions_are_flipped() -> None:
    told = Told()
    told.error("p", 1, 2, "open", "root-refused")
    assert found(told) == {"H10": {"L2"}}
    told.strike(1, 2, Excuse.REFUSES)
    assert found(told) == {}


# --- H10: silence


def silent(**death: object) -> Told:
    told = Told()
    told.op("p", 1, None, "lookup", key="a")
    if death:
        told.deaths.append(Death(process="p", at_ns=9, **death))  # type: ignore[arg-type]
    return told


def test_H10_a_process_that_lives_answers() -> None:
    assert found(silent()) == {"H10": {"L1", "L5"}}


@pytest.mark.parametrize("leaves_children", [True, False])
def test_H10_a_process_that_was_killed_need_not_answer(leaves_children: bool) -> None:
    assert found(silent(asked=True, leaves_children=leaves_children)) == {}


@pytest.mark.parametrize(
    ("struck", "expected"), [((), {}), (("p",), {}), (("q",), {"H10": {"L1", "L5"}})]
)
def test_H10_a_stopped_process_alone_may_miss_its_deadline(
    struck: tuple[str, ...], expected: dict[str, set[str]]
) -> None:
    told = Told()
    told.strike(1.5, 1.6, Excuse.STOPS, processes=struck)
    told.error("p", 1, 2, "lookup", "deadline", key="a")
    assert found(told) == expected


def test_H10_a_stop_that_was_over_excuses_no_deadline() -> None:
    told = Told()
    told.strike(0, 0.5, Excuse.STOPS)
    told.error("p", 1, 2, "lookup", "deadline", key="a")
    assert found(told) == {"H10": {"L1", "L5"}}


# --- H10: deaths and the audit


def test_H10_nobody_ends_by_itself() -> None:
    assert found(silent(asked=False, how="exit code 1")) == {"H10": {"R6"}}


def test_H10_who_ends_by_itself_while_calls_fail_met_a_fault() -> None:
    told = silent(asked=False)
    told.strike(0, 0.5, Excuse.REFUSES)
    assert found(told) == {"H10": {"D2"}}


@pytest.mark.parametrize(
    ("killed", "expected"), [((), {}), (("p", "q"), {}), (("q",), {"H10": {"R6"}})]
)
def test_H10_who_ends_after_others_were_killed_ended_by_itself(
    killed: tuple[str, ...], expected: dict[str, set[str]]
) -> None:
    told = silent(asked=False)
    told.strike(0, 0.5, Excuse.KILLS, processes=killed)
    assert found(told) == expected


def test_H10_afterwards_every_key_can_be_published() -> None:
    told = Told()
    told.audited(unpublishable={"a": "unpublished: busy"})
    assert found(told) == {"H10": {"L2"}}
    told.death("p", 1)
    assert found(told) == {"H10": {"L2", "C2"}}
