"""H7 and H11 on literal histories: collects alone, the entries weighed before and after."""

from __future__ import annotations

from typing import Any

import pytest
from untorn_conformance.history import Excuse, OpOutcome
from untorn_conformance.meta.literal_history import Told, found


def alone(*, meaning: str = "st_size", dies: bool = True, **numbers: Any) -> Told:
    """Three entries of 10 bytes; a collect at budget 15, after a writer was killed, leaves one."""
    limits = {"bytes_meaning": meaning}
    told = Told(limits=limits, entry_bytes=10, keys=tuple("abcdefgh"), present={"a": "a0"})
    told.miss("w", 1, 2, "b")
    if dies:
        told.death("w", 3)
    right = {"evicted": 2, "freed_bytes": 20, "budget_bytes": 15, "reaped": 0}
    weighed = {"stood": 3, "stood_bytes": 30, "stayed": 1, "stayed_bytes": 10}
    told.collect("audit", 10, 11, **{**right, **weighed, **numbers})
    return told


def test_H7_what_left_was_counted() -> None:
    assert found(alone()) == {}


@pytest.mark.parametrize("wrong", [{"evicted": 1}, {"evicted": 3}])
def test_H7_entries_are_counted_as_they_left(wrong: dict[str, Any]) -> None:
    assert found(alone(**wrong)) == {"H7": {"G7"}}
    assert found(alone(meaning="allocated", **wrong)) == {"H7": {"G7"}}


@pytest.mark.parametrize("freed", [0, 19, 21, 60])
def test_H7_bytes_are_counted_as_they_left(freed: float) -> None:
    assert found(alone(freed_bytes=freed)) == {"H7": {"G7"}}
    assert found(alone(freed_bytes=freed, meaning="allocated")) == {}


def test_H7_stagings_that_were_reaped_are_bytes_too() -> None:
    assert found(alone(freed_bytes=21, reaped=1)) == {}
    assert found(alone(freed_bytes=19, reaped=1)) == {"H7": {"G7"}}


@pytest.mark.parametrize("more", [{"evicted": 3}, {"freed_bytes": 21}])
def test_H7_who_finishes_a_killed_collect_may_count_it(more: dict[str, Any]) -> None:
    told = alone(**more)
    told.collect("c", 1, None, 0)
    told.death("c", 2)
    assert found(told) == {}


def test_H7_excuses_who_is_not_alone() -> None:
    assert found(alone(evicted=1, dies=False)) == {}
    told = alone(evicted=1)
    told.strike(10.5, 12, Excuse.REFUSES)
    assert found(told) == {}
    told = alone(evicted=1)
    told.audited(debris=("trash/1",))
    assert "H7" not in found(told)


def test_H7_excuses_bytes_where_files_were_taken_away() -> None:
    told = alone(freed_bytes=9)
    told.strike(1, 2, Excuse.REMOVES)
    assert found(told) == {}


def test_H7_nothing_is_known_of_the_entries_of_clips() -> None:
    told = alone(evicted=1)
    told.release("w", 2.5, 3, told.op("w", 2, 2.5, "extract", outcome=OpOutcome.DONE))
    assert found(told) == {}


# --- dry runs


def test_H7_a_dry_run_takes_nothing() -> None:
    assert found(alone(dry_run=1)) == {"H7": {"G13"}}
    assert found(alone(dry_run=1, stayed=3)) == {"H7": {"G13"}}
    assert found(alone(dry_run=1, stayed=3, stayed_bytes=30)) == {}


# --- budget


def kept(**numbers: Any) -> Told:
    """The same at budget 15, but all stay: 15 bytes too much."""
    nothing = {"evicted": 0, "freed_bytes": 0, "stayed": 3, "stayed_bytes": 30}
    return alone(**{**nothing, **numbers})


def test_H7_what_is_over_budget_is_said() -> None:
    assert found(kept()) == {"H7": {"G2"}}
    assert found(kept(over_budget_bytes=14, protected=3)) == {"H7": {"G2"}}
    assert found(kept(over_budget_bytes=15, protected=3, min_age_s=1.0)) == {}


def test_H7_what_is_over_budget_was_protected() -> None:
    assert found(kept(over_budget_bytes=15, protected=0, min_age_s=1.0)) == {"H7": {"G2"}}


def test_H7_what_stays_at_budget_0_is_over_it_whatever_it_weighs() -> None:
    assert found(kept(meaning="allocated")) == {}
    assert found(kept(meaning="allocated", budget_bytes=0)) == {"H7": {"G2"}}


def test_H7_what_is_at_the_budget_is_not_over() -> None:
    assert found(kept(budget_bytes=30)) == {}


def test_H7_nothing_weighed_goes_within_budget() -> None:
    assert found(alone(budget_bytes=30)) == {"H7": {"G11"}}
    assert found(alone(budget_bytes=29)) == {}


def test_H7_work_of_the_dead_may_weigh_in_the_budget() -> None:
    told = alone(budget_bytes=39)
    told.stage("w", 2, 2.5, "b1")
    assert found(told) == {}
    told = alone(budget_bytes=40)
    told.stage("w", 2, 2.5, "b1")
    assert found(told) == {"H7": {"G11"}}


def test_H7_allocated_bytes_are_within_half_a_budget() -> None:
    assert found(alone(meaning="allocated", budget_bytes=59)) == {}
    assert found(alone(meaning="allocated", budget_bytes=60)) == {"H7": {"G11"}}


def test_H11_nothing_goes_within_budget_whatever_its_mtime() -> None:
    assert found(alone(budget_bytes=30, shifted_s=-86400.0)) == {"H11": {"G11"}}


# --- ages


def young(min_age_s: float, shifted_s: float = 0.0, *, emptied: bool = True) -> Told:
    """All went at 5, and was published anew; at 11 two of three have gone."""
    told = alone(min_age_s=min_age_s, shifted_s=shifted_s)
    stayed: dict[str, Any] = {
        "stayed": 0,
        "stayed_bytes": 0,
        "freed_bytes": 10,
        "budget_bytes": 0,
    }
    if not emptied:
        stayed |= {"stayed": 1, "stayed_bytes": 10, "freed_bytes": 0}
        stayed |= {"over_budget_bytes": 10, "protected": 1, "min_age_s": 1.0}
    told.collect("audit", 5, 6, int(emptied), stood=1, stood_bytes=10, **stayed)
    return told


def test_H7_what_is_certainly_young_stays() -> None:
    assert found(young(60.0)) == {"H7": {"G3"}}
    assert found(young(0.056)) == {}
    assert found(young(60.0, emptied=False)) == {}


def test_H11_what_lies_in_the_future_is_young() -> None:
    assert found(young(60.0, -86400.0)) == {"H11": {"G11", "G3"}}
    assert found(young(0.0, -86400.0)) == {}


def test_H11_what_was_made_older_is_old() -> None:
    assert found(young(60.0, 86400.0)) == {}
