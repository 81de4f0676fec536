"""H7 and H11 on literal histories: budget, ages, counts and moved clocks."""

from __future__ import annotations

import pytest
from untorn_conformance.history import Excuse, Op, OpOutcome
from untorn_conformance.meta.literal_history import Told, found

YEARS = 10**9


def published(**options: object) -> Told:
    """a1 was published by w1 from 1 to 2."""
    told = Told(**options)  # type: ignore[arg-type]
    told.publish("w1", 1, 2, "a1")
    return told


# --- min_age


def young(min_age_ms: float, **options: object) -> Told:
    """a1, staged at 0.5, is gone after a collect from 500 to 600."""
    told = published(**options)
    told.collect("c", 500, 600, min_age_s=min_age_ms / 1000)
    told.miss("r", 700, 701, "a")
    return told


def test_H7_what_is_younger_than_min_age_stays() -> None:
    assert found(young(700)) == {"H7": {"G3"}}


@pytest.mark.parametrize("min_age_ms", [640, 500, 0])
def test_H7_what_may_be_as_old_may_go(min_age_ms: float) -> None:
    """With the slack of a kernel's tick, and by the end of the collect."""
    assert found(young(min_age_ms)) == {}


def test_H7_a_young_entry_is_not_replaced() -> None:
    told = published()
    told.collect("c", 500, 600, min_age_s=9.0)
    told.publish("w2", 700, 701, "a2")
    assert found(told) == {"H7": {"G3"}}


def test_H7_another_collect_may_have_gone_by_another_age() -> None:
    told = young(700)
    told.collect("c2", 610, 620, min_age_s=0.0)
    assert found(told) == {}


def test_H7_ages_mean_nothing_once_they_were_moved() -> None:
    told = young(700)
    told.strike(100, 101, Excuse.AGES)
    assert found(told) == {}
    told = young(700)
    told.op("w1", 100, 101, "age", outcome=OpOutcome.DONE)
    assert found(told) == {}


def test_H7_ages_mean_what_they_say_until_they_are_moved() -> None:
    told = young(700)
    told.strike(650, 660, Excuse.AGES)
    assert found(told) == {"H7": {"G3"}}


def test_H7_nobody_knows_the_age_of_what_was_there_at_the_start() -> None:
    told = Told(present={"a": "a0"})
    told.collect("c", 500, 600, min_age_s=YEARS)
    told.miss("r", 700, 701, "a")
    assert found(told) == {}


def test_H7_the_configured_age_counts_where_none_is_asked_for() -> None:
    told = published(min_age_s=9.0)
    numbers = {"evicted": 1.0}
    told.op("c", 500, 600, "collect", outcome=OpOutcome.COLLECTED, numbers=numbers)
    told.miss("r", 700, 701, "a")
    assert found(told) == {"H7": {"G3"}}


def test_H7_many_ages_are_judged_by_the_least() -> None:
    told = published(keys=tuple("abcdefghijklm"))
    for number in range(12):
        told.collect("c", 500 + number, 500.5 + number, min_age_s=0.5 + number)
    told.miss("r", 700, 701, "a")
    assert found(told) == {}


def killed_collect(**numbers: float) -> Told:
    """a1, staged at 0.5, is gone after a collect that was killed at 600."""
    told = published()
    told.collect("c", 500, None, 0, **numbers)
    told.death("c", 600)
    told.miss("r", 700, 701, "a")
    return told


def test_H7_a_killed_collect_went_by_the_age_that_it_was_asked_with() -> None:
    assert found(killed_collect(min_age_s=9.0)) == {"H7": {"G3"}}
    assert found(killed_collect(min_age_s=0.1)) == {}


def test_H5_a_killed_dry_run_removed_nothing() -> None:
    assert found(killed_collect(dry_run=1)) == {"H5": {"R2"}}
    assert found(killed_collect(dry_run=0)) == {}


# --- budget


def over(**numbers: float) -> tuple[Told, Op]:
    """A collect that ends over budget, after a1 was let go of."""
    told = Told()
    told.release("w1", 2, 3, told.publish("w1", 1, 2, "a1"))
    return told, told.collect("c", 5, 6, 0, over_budget_bytes=10, **numbers)


def test_H7_over_budget_something_is_said_to_protect() -> None:
    told, _ = over(protected=0, min_age_s=1.0)
    assert found(told) == {"H7": {"G2"}}
    told, _ = over(protected=1, min_age_s=1.0)
    assert found(told) == {}


def test_H7_work_that_weighs_is_protected_by_nothing() -> None:
    told, _ = over(protected=0, min_age_s=1.0)
    told.stage("w2", 3, 4, "b1")
    assert found(told) == {}


def test_H7_with_min_age_0_and_nobody_at_work_nothing_protects() -> None:
    told, _ = over(protected=1)
    assert found(told) == {"H7": {"G2"}}


def test_H7_a_holder_protects() -> None:
    told, _ = over(protected=1)
    told.hit("r", 3.5, 4, "a1")
    assert found(told) == {}


def test_H7_a_holder_that_ended_protects_nothing() -> None:
    told, _ = over(protected=1)
    told.hit("r", 3.5, 4, "a1")
    told.death("r", 4.5)
    assert found(told) == {"H7": {"G2"}}


@pytest.mark.parametrize(("begin", "end"), [(5.5, 7), (4, 5)])
def test_H7_who_is_at_work_protects(begin: float, end: float) -> None:
    told, _ = over(protected=1)
    told.miss("r", begin, end, "b")
    assert found(told) == {}


def within(*, entry_bytes: int | None = 10, budget: float = 40, evicted: int = 1) -> Told:
    """Two keys and one staging of ten bytes each, at most, and a collect with this budget."""
    told = Told(entry_bytes=entry_bytes, present={"a": "a0"})
    told.stage("w2", 1, 2, "b1")
    told.collect("c", 5, 6, evicted, budget_bytes=budget)
    return told


def test_H7_nothing_is_evicted_within_budget() -> None:
    assert found(within(budget=30)) == {"H7": {"G11"}}


def test_H7_nothing_is_known_of_a_budget_that_may_be_too_small() -> None:
    assert found(within(budget=29)) == {}
    assert found(within(entry_bytes=None)) == {}
    assert found(within(evicted=0)) == {}


@pytest.mark.parametrize("excuse", [Excuse.REFUSES, Excuse.REMOVES])
def test_H7_excuses_a_collect_after_a_strike(excuse: Excuse) -> None:
    for told in (within(budget=30), over(protected=0)[0]):
        told.strike(3, 4, excuse)
        assert found(told) == {}


@pytest.mark.parametrize(("begin", "end"), [(4, 5.5), (5.5, 7), (4, None)])
def test_H7_excuses_a_collect_beside_or_after_one_that_may_not_be_over(
    begin: float, end: float | None
) -> None:
    told = within(budget=30)
    told.collect("c2", begin, end, 0)
    told.death("c2", 4.5)
    assert "H7" not in found(told)


def struck(killed_budget: float | None = None, **limits: float) -> Told:
    """A collect from 3 to 4 is killed at 4, or calls fail; one sweeps at 14; one at 24 evicts."""
    told = Told(entry_bytes=10, keys=("a", "b", "c", "d"), limits=limits)
    if killed_budget is None:
        told.strike(3, 4, Excuse.REFUSES)
    else:
        told.collect("c1", 3, None, budget_bytes=killed_budget)
        told.death("c1", 4)
    told.collect("c2", 14, 15, 0, budget_bytes=40)
    told.collect("c2", 24, 25, 1, budget_bytes=40)
    return told


@pytest.mark.parametrize("killed_budget", [None, 0])
def test_H7_judges_again_when_what_was_left_half_gone_has_been_swept(
    killed_budget: float | None,
) -> None:
    """The collect at 14 sweeps what is left of the dead if their grace is less than 10 ms."""
    assert found(struck(killed_budget)) == {}  # nobody says what the grace is
    assert found(struck(killed_budget, reap_grace_s=0.01)) == {}
    assert found(struck(killed_budget, reap_grace_s=0.009)) == {"H7": {"G11"}}


def test_H7_what_was_cut_short_itself_has_swept_nothing() -> None:
    told = struck(0, reap_grace_s=0.009)
    told.strike(14.5, 14.6, Excuse.REFUSES)
    assert found(told) == {}


def test_H7_a_killed_collect_that_was_within_budget_excuses_nothing() -> None:
    assert found(struck(40)) == {"H7": {"G11"}}
    assert found(struck(39)) == {}


def test_H7_a_dry_run_says_what_would_be() -> None:
    told = Told(entry_bytes=10)
    told.collect("c", 5, 6, 1, budget_bytes=30, dry_run=1, over_budget_bytes=5)
    assert found(told) == {}


def test_H7_nobody_knows_what_an_extraction_weighs() -> None:
    for told in (within(budget=30), over(protected=0)[0]):
        told.collect("c", 20, 21, 5)
        told.release("e", 4, 4.5, told.op("e", 3, 4, "extract", outcome=OpOutcome.DONE))
        assert found(told) == {}


# --- counts


def replaced(evicted: int) -> Told:
    """Each of two collects is followed by a publish of the same key."""
    told = published()
    told.collect("c", 3, 4, evicted)
    told.publish("w2", 5, 6, "a2")
    told.collect("c", 7, 8, evicted)
    told.publish("w3", 9, 10, "a3")
    return told


def test_H7_what_went_was_counted() -> None:
    assert found(replaced(1)) == {}
    told = replaced(1)
    told.publish("w4", 7.5, 7.6, "a4")
    assert found(told) == {"H7": {"G7"}}


def test_H7_excuses_the_counts_where_a_collect_has_no_answer() -> None:
    told = replaced(1)
    told.publish("w4", 7.5, 7.6, "a4")
    told.collect("c2", 3, None)
    told.death("c2", 20)
    assert found(told) == {}


def test_H7_no_more_are_counted_than_ever_were() -> None:
    told = published()
    told.collect("c", 3, 4, 3)
    assert found(told) == {}
    told = published()
    told.collect("c", 3, 4, 4)
    assert found(told) == {"H7": {"G7"}}
    told = published()
    told.collect("c", 3, 4, 2)
    told.collect("c", 5, 6, 2)
    assert found(told) == {"H7": {"G8"}}


# --- H11


def test_H11_a_moved_clock_evicts_nothing_within_budget() -> None:
    told = within(budget=30)
    told.strike(3, 4, Excuse.AGES)
    assert found(told) == {"H11": {"G11"}}


def test_H11_a_moved_clock_protects_nothing_with_min_age_0() -> None:
    told, _ = over(protected=1)
    told.strike(3, 4, Excuse.AGES)
    assert found(told) == {"H11": {"G11"}}


def test_H11_a_moved_clock_may_make_entries_young() -> None:
    told, _ = over(protected=1, min_age_s=1.0)
    told.strike(3, 4, Excuse.AGES)
    assert found(told) == {}


def test_H11_a_clock_that_is_moved_later_is_not_to_blame() -> None:
    told = within(budget=30)
    told.strike(7, 8, Excuse.AGES)
    assert found(told) == {"H7": {"G11"}}
