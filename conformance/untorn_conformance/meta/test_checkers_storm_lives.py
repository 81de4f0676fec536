"""H3, H5 and H6 on literal histories: lives that contradict each other, and those that do not."""

from __future__ import annotations

import pytest
from untorn_conformance.checkers.storm.judging import judge
from untorn_conformance.history import Excuse, OpOutcome
from untorn_conformance.meta.literal_history import Told, found

ADOPTED, UNPUBLISHED = OpOutcome.ADOPTED, OpOutcome.UNPUBLISHED


def published(**options: object) -> Told:
    """a1 was published by w1 from 1 to 2."""
    told = Told(**options)  # type: ignore[arg-type]
    told.publish("w1", 1, 2, "a1")
    return told


# --- H3: no resurrection


def evicted_and_back(reason: str = "absent") -> Told:
    """Between two hits a1 was missed, and a collect may have evicted it before."""
    told = published()
    told.hit("r", 3, 4, "a1")
    told.collect("c", 5, 6)
    told.miss("r", 7, 8, "a", reason)
    told.hit("r", 9, 10, "a1")
    return told


def test_H3_what_was_missed_after_a_collect_is_not_seen_again() -> None:
    assert found(evicted_and_back()) == {"H3": {"R2", "G7"}}


def test_H3_a_miss_that_overlaps_the_hit_before_proves_nothing() -> None:
    told = published()
    told.collect("c", 5, 6)
    told.miss("r", 7, 10, "a")
    told.publish("w2", 7.5, 8, "a2")
    told.hit("r2", 9, 11, "a2")
    assert found(told) == {}


def test_H3_another_version_does_not_come_between_two_hits_of_one() -> None:
    told = published()
    told.collect("c", 3, 4)
    told.publish("w2", 5, 6, "a2")
    told.hit("r", 7, 8, "a2")
    told.collect("c", 9, 10)
    told.hit("r", 11, 12, "a1")
    assert found(told) == {"H3": {"P2", "P3"}}


def test_H3_a_killed_publish_may_land_until_its_process_has_ended() -> None:
    told = published()
    told.publish("w2", 3, None, "a2")
    told.death("w2", 20)
    told.collect("c", 4, 5)
    told.miss("r", 6, 7, "a")
    told.hit("r", 8, 9, "a2")
    assert found(told) == {}


def test_H3_excuses_a_miss_while_files_went() -> None:
    told = evicted_and_back()
    told.strike(6.5, 7.5, Excuse.REMOVES)
    assert found(told) == {}


def test_H3_excuses_a_miss_while_calls_failed() -> None:
    told = evicted_and_back()
    told.strike(6.5, 7.5, Excuse.REFUSES)
    assert found(told) == {}


def test_H3_no_strike_brings_back_what_was_gone_when_it_was_over() -> None:
    told = evicted_and_back()
    told.strike(5, 6, Excuse.REMOVES)
    assert found(told) == {"H3": {"R2", "G7"}}


def test_H3_a_handle_from_before_may_be_read_after() -> None:
    told = published()
    hit = told.hit("r", 3, 4, "a1")
    told.collect("c", 5, 6)
    told.publish("w2", 7, 8, "a2")
    told.read("r", 9, 10, hit, "a1", index=1)
    assert found(told) == {}


def test_H3_without_leases_a_handle_may_find_its_files_when_it_is_read() -> None:
    told = published()
    hit = told.hit("r", 3, 4, "", key="a")
    told.collect("c", 5, 6)
    told.publish("w2", 7, 8, "a2")
    told.read("r", 9, 10, hit, "a2")
    assert found(told) == {}


def test_H3_names_the_version_that_came_back() -> None:
    told = published()
    told.collect("c", 3, 4)
    told.publish("w2", 5, 6, "a2")
    told.hit("r", 7, 8, "a1")
    (violation,) = judge(told.round).violations
    assert violation.message.startswith("key a: version a1 was there again")
    told = Told()
    told.collect("c", 0, 100, 2)
    told.publish("w2", 5, 7, "a2")
    told.publish("w1", 3, 6, "a1")
    told.hit("r", 7, 9, "a1")
    told.hit("r2", 6, 7, "a2")
    assert found(told) == {}


# --- H5: found until removed


def test_H5_what_was_published_is_found() -> None:
    told = published()
    told.miss("r", 3, 4, "a")
    assert found(told) == {"H5": {"R2"}}


def test_H5_a_lookup_beside_the_publish_may_miss() -> None:
    told = published()
    told.miss("r", 2, 4, "a")
    assert found(told) == {}


def test_H5_what_was_there_at_the_start_is_found() -> None:
    told = Told(present={"a": "a0"})
    told.miss("r", 3, 4, "a")
    assert found(told) == {"H5": {"R2"}}
    told = Told(present={"b": "b0"})
    told.miss("r", 3, 4, "a")
    assert found(told) == {}


def test_H5_what_was_hit_and_hit_again_was_there() -> None:
    told = Told()
    told.publish("w1", 1, None, "a1")
    told.death("w1", 20)
    told.hit("r", 2, 3, "a1")
    told.miss("r", 4, 5, "a", "incomplete")
    told.hit("r", 6, 7, "a1")
    told.collect("c", 0, 20)
    assert found(told) == {"H5": {"R2"}}


def test_H5_what_was_adopted_is_found() -> None:
    told = Told()
    told.publish("w1", 1, None, "a1")
    told.death("w1", 20)
    told.publish("w2", 3, 4, "a2", ADOPTED, reads="a1")
    told.miss("r", 5, 6, "a")
    assert found(told) == {"H5": {"R2"}}


def test_H5_a_collect_may_have_removed_it() -> None:
    told = published()
    told.collect("c", 1.5, 4)
    told.miss("r", 3, 5, "a")
    assert found(told) == {}


@pytest.mark.parametrize("numbers", [{"evicted": 0}, {"evicted": 1, "dry_run": 1}])
def test_H5_a_collect_that_removes_nothing_excuses_nothing(numbers: dict[str, int]) -> None:
    told = published()
    told.collect("c", 3, 4, **numbers)
    told.miss("r", 5, 6, "a")
    assert found(told) == {"H5": {"R2"}}


def test_H5_a_collect_that_evicted_nothing_while_calls_failed_may_have_all_the_same() -> None:
    told = published()
    told.strike(3, 3.5, Excuse.REFUSES)
    told.collect("c", 3, 4, evicted=0)
    told.miss("r", 5, 6, "a")
    assert found(told) == {}


def test_H5_a_skipped_collect_excuses_nothing() -> None:
    told = published()
    told.op("c", 3, 4, "collect", outcome=OpOutcome.SKIPPED, reason="another-collector")
    told.miss("r", 5, 6, "a")
    assert found(told) == {"H5": {"R2"}}


def killed_collect(published_at: float, *, leaves_children: bool = False) -> Told:
    told = Told()
    told.collect("c", 1, None)
    told.death("c", 5, leaves_children=leaves_children)
    told.publish("w1", published_at, published_at + 1, "a1")
    told.miss("r", published_at + 2, published_at + 3, "a")
    return told


def test_H5_a_killed_collect_may_remove_until_its_process_has_ended() -> None:
    assert found(killed_collect(3)) == {}
    assert found(killed_collect(6)) == {"H5": {"R2"}}


def test_H5_what_a_killed_process_left_running_may_remove_for_ever() -> None:
    assert found(killed_collect(6, leaves_children=True)) == {}


def test_H5_a_process_without_a_known_end_may_remove_for_ever() -> None:
    told = killed_collect(6)
    told.deaths.clear()
    assert "H5" not in found(told)


def test_H5_busy_is_an_answer_beside_a_collect() -> None:
    told = published()
    told.collect("c", 3, 4, evicted=0)
    told.miss("r", 3, 4, "a", "busy")
    assert found(told) == {}


def test_H5_busy_is_an_answer_beside_who_works_on_the_key() -> None:
    told = published()
    told.publish("w2", 3, 4, "a2", ADOPTED)
    told.miss("r", 3, 4, "a", "busy")
    assert found(told) == {}


def test_H5_busy_is_no_answer_where_nobody_is_at_work() -> None:
    told = published()
    told.publish("w2", 3, 4, "b1")
    told.collect("c", 5, 6, evicted=0)
    told.miss("r", 3, 4, "a", "busy")
    assert found(told) == {"H5": {"R2"}}


@pytest.mark.parametrize("excuse", [Excuse.REFUSES, Excuse.REMOVES])
def test_H5_excuses_a_miss_while_it_was_struck(excuse: Excuse) -> None:
    told = published()
    told.strike(3.5, 3.6, excuse)
    told.miss("r", 3, 4, "a")
    assert found(told) == {}


def test_H5_calls_that_failed_before_excuse_no_miss() -> None:
    told = published()
    told.strike(2.5, 2.9, Excuse.REFUSES)
    told.miss("r", 3, 4, "a")
    assert found(told) == {"H5": {"R2"}}


def test_H5_what_a_strike_harmed_may_be_missed_ever_after() -> None:
    told = published()
    told.strike(2.5, 2.9, Excuse.REMOVES)
    told.miss("r", 3, 4, "a", "damaged")
    told.miss("r", 5, 6, "a")
    assert found(told) == {}


def test_H5_what_was_staged_when_a_strike_was_over_is_not_harmed() -> None:
    told = Told()
    told.strike(0, 1, Excuse.REMOVES)
    told.publish("w1", 3, 4, "a1")
    told.miss("r", 5, 6, "a")
    assert found(told) == {"H5": {"R2"}}


def test_H5_what_was_staged_while_files_went_may_be_harmed() -> None:
    told = Told()
    told.strike(0, 2.6, Excuse.REMOVES)
    told.publish("w1", 3, 4, "a1")
    told.miss("r", 5, 6, "a", "damaged")
    assert found(told) == {}


@pytest.mark.parametrize("excuse", [Excuse.KILLS, Excuse.STOPS, Excuse.AGES])
def test_H5_what_strikes_processes_or_times_removes_nothing(excuse: Excuse) -> None:
    told = published()
    told.strike(0, None, excuse)
    told.miss("r", 3, 4, "a")
    assert found(told) == {"H5": {"R2"}}


def test_H5_a_cache_with_a_budget_may_collect_when_it_publishes() -> None:
    told = published(budget_bytes=1)
    told.publish("w2", 3, 4, "b1")
    told.miss("r", 5, 6, "a")
    assert found(told) == {}
    told = published(budget_bytes=1, min_age_s=9.0)
    told.publish("w2", 3, 4, "b1")
    told.miss("r", 5, 6, "a")
    assert found(told) == {"H7": {"G3"}}


@pytest.mark.parametrize(("end", "rows"), [(4, None), (2.6, {"R2"})])
def test_H5_a_writer_whose_calls_fail_may_make_room(end: float, rows: set[str] | None) -> None:
    told = published()
    told.strike(2.3, end, Excuse.REFUSES)
    told.publish("w2", 3.5, 4.5, "b1", UNPUBLISHED, reason="ENOSPC")
    told.miss("r", 5, 6, "a")
    assert found(told) == ({} if rows is None else {"H5": rows})


def test_H5_a_backend_that_extracts_may_make_room() -> None:
    for outcome in (OpOutcome.PUBLISHED, OpOutcome.DONE):
        told = published()
        told.op("e", 3, 4, "extract", key="b", version="b1", outcome=outcome)
        told.miss("r", 5, 6, "a")
        assert found(told) == {}


def test_H5_a_backend_that_extracts_makes_no_room_where_there_was_enough() -> None:
    told = published()
    told.op("e", 3, None, "extract", key="b")
    told.death("e", 4)
    told.miss("r", 5, 6, "a")
    told.audited(had_room=True)
    assert found(told) == {"H5": {"R2"}}
    told.strike(3.5, 3.6, Excuse.REFUSES)  # a full disk, say
    assert found(told) == {}


def test_H5_a_backend_with_a_budget_may_collect_when_it_extracts() -> None:
    told = published(budget_bytes=10)
    told.op("e", 3, 4, "extract", key="b", outcome=OpOutcome.UNCACHED)
    told.miss("r", 5, 6, "a")
    told.audited(had_room=True)
    assert found(told) == {}


# --- H6: one winner, and it stays


def test_H6_two_are_not_told_published_without_a_removal_between() -> None:
    told = published()
    told.publish("w2", 3, 4, "a2")
    assert found(told) == {"H6": {"P2", "P3"}}


def test_H6_two_that_overlap_are_not_told_published_either() -> None:
    told = Told()
    told.publish("w1", 1, 4, "a1")
    told.publish("w2", 2, 3, "a2")
    assert found(told) == {"H6": {"P2", "P3"}}


def test_H6_one_that_may_have_been_there_before_was_not_removed_either() -> None:
    """a2 may have landed before a1, and nothing took it away before a1 was there."""
    told = Told()
    told.publish("w2", 5, 60, "a2")
    told.publish("w1", 8, 10, "a1")
    told.hit("r", 70, 71, "a1")
    assert found(told) == {"H6": {"P2", "P3"}}


def test_H6_a_collect_between_two_publishes_makes_room() -> None:
    told = published()
    told.collect("c", 2, 5)
    told.publish("w2", 3, 4, "a2")
    assert found(told) == {}


def test_H6_a_collect_before_both_does_not() -> None:
    told = Told()
    told.collect("c", 0.1, 0.2)
    told.publish("w1", 1, 2, "a1")
    told.publish("w2", 3, 4, "a2")
    assert found(told) == {"H6": {"P2", "P3"}}


def test_H6_a_version_does_not_change_without_a_removal() -> None:
    told = published()
    told.publish("w2", 3, None, "a2")
    told.death("w2", 20)
    told.hit("r", 5, 6, "a2")
    assert found(told) == {"H6": {"P2", "P3"}}


def test_H6_a_killed_collect_may_have_made_room() -> None:
    told = published()
    told.collect("c", 2, None)
    told.death("c", 4)
    told.publish("w2", 5, 6, "a2")
    assert found(told) == {}


def test_H6_a_harmed_entry_may_be_replaced_whenever() -> None:
    told = published()
    told.strike(3, 4, Excuse.REMOVES)
    told.publish("w2", 8, 9, "a2")
    assert found(told) == {}


def test_H6_calls_that_failed_excuse_no_second_winner() -> None:
    told = published()
    told.strike(2.5, 7, Excuse.REFUSES)
    told.publish("w2", 8, 9, "a2")
    assert found(told) == {"H6": {"P2", "P3"}}


def test_H6_who_was_not_told_published_is_no_second_winner() -> None:
    told = published()
    told.publish("w2", 3, 4, "a2", ADOPTED)
    told.publish("w3", 3, 4, "a3", UNPUBLISHED)
    told.publish("w4", 3, None, "a4")
    assert "H6" not in found(told)


def test_H6_other_keys_have_other_winners() -> None:
    told = published()
    told.publish("w2", 3, 4, "b1")
    assert found(told) == {}
