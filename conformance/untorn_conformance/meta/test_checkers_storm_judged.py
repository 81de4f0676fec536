"""How much each checker judged, to the unit: what its rules were applied to, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from untorn_conformance.backend import Verb
from untorn_conformance.checkers.storm.judging import judge
from untorn_conformance.history import Excuse, OpOutcome
from untorn_conformance.meta.literal_history import Told


def judged(told: Told) -> dict[str, int]:
    """How much was judged, by checker: of those that judged anything."""
    return {name: amount for name, amount in judge(told.round).judged.items() if amount}


def bare(**start: object) -> Told:
    """A round without keys that nobody swept: what is judged in it was told."""
    told = Told(**{"keys": (), **start})  # type: ignore[arg-type]
    told.audited(debris=None)
    return told


def test_where_nothing_happened_nothing_is_judged() -> None:
    assert judged(bare()) == {}


def test_an_audit_is_one_thing_and_each_key_that_it_tried() -> None:
    assert judged(Told(keys=("a", "b", "c"))) == {"H9": 1, "H10": 3}


def test_a_key_that_could_not_be_published_was_tried_though_nobody_swept() -> None:
    told = Told(keys=("a", "b"))
    told.audited(debris=None, unpublishable={"a": "EIO"})
    assert judged(told) == {"H10": 1}


def test_a_round_that_was_cut_short_tells_nothing() -> None:
    told = bare()
    told.hit("r", 1, 2, "a1")
    told.cut_short()
    assert judge(told.round).judged == {}


# --- handles, versions, reads ---------------------------------------------------------------------


def test_a_hit_and_its_read_are_two_for_H1_one_version_for_H2_one_read_for_H4() -> None:
    told = bare(present={"a": "a0"})
    told.hit("r", 1, 2, "a0")
    assert judged(told) == {"H1": 2, "H2": 1, "H4": 1, "H10": 2}


def test_a_version_that_was_not_seen_is_judged_where_it_stood_at_the_start() -> None:
    assert judged(bare(present={"a": "a0"})) == {"H2": 1}


def test_a_writer_that_reads_its_own_is_judged_once_more() -> None:
    told = bare(lease=True)
    told.publish("w", 1, 2, "a1", reads="a1")  # it was staged before
    assert judged(told) == {"H1": 2, "H2": 1 + 1, "H4": 1, "H10": 3}


def test_a_hit_that_nobody_read_is_judged_where_nothing_was_there() -> None:
    told = bare(keys=("a",))
    told.hit("r", 1, 2, "", key="a")
    assert judged(told) == {"H1": 1, "H2": 1, "H10": 1}


def test_each_version_after_the_first_of_its_key_is_judged() -> None:
    told = bare()
    for number in (1, 2, 3):
        told.publish("w", 10 * number, 10 * number + 1, f"a{number}")
    told.publish("w", 50, 51, "b1")
    assert judged(told) == {"H1": 4, "H2": 4, "H3": 2, "H6": 2, "H10": 8}


def test_a_version_that_a_lease_held_before_is_judged_by_H4() -> None:
    told = bare(lease=True)
    told.publish("w", 1, 2, "a1")
    told.collect("c", 5, 6)
    told.publish("w", 11, 12, "a2")
    assert judged(told)["H4"] == 1


@pytest.mark.parametrize(("excused", "amount"), [(False, 1), (True, 0)])
def test_a_lost_read_is_judged_unless_it_is_excused(*, excused: bool, amount: int) -> None:
    told = bare()
    hit = told.hit("r", 1, 2, "", key="a")
    told.lost("r", 3, 4, hit, OpOutcome.EVICTED)
    if excused:
        told.strike(3.5, 5, Excuse.REFUSES)
    assert judged(told).get("H4", 0) == amount


# --- misses ---------------------------------------------------------------------------------------


def missed(reason: str, *, lease: bool = False) -> Told:
    told = bare(lease=lease)
    told.publish("w", 1, 2, "a1")
    told.miss("r", 3, 4, "a", reason)
    return told


@pytest.mark.parametrize(
    ("reason", "lease", "amounts"),
    [
        ("absent", False, {"H3": 1, "H5": 1}),
        ("damaged", False, {"H5": 1}),
        ("absent", True, {"H3": 1, "H4": 1, "H5": 1}),
    ],
)
def test_a_miss_of_what_was_there_is_judged(
    *, reason: str, lease: bool, amounts: dict[str, int]
) -> None:
    found = judged(missed(reason, lease=lease))
    assert {name: found.get(name, 0) for name in amounts} == amounts


def test_a_miss_of_what_never_was_there_is_not_judged() -> None:
    told = bare()
    told.miss("r", 3, 4, "a")
    assert judged(told) == {"H10": 1}


def test_a_miss_beside_a_strike_is_not_judged() -> None:
    told = missed("absent")
    told.strike(3.5, 5, Excuse.REFUSES)
    assert "H5" not in judged(told)


def test_a_busy_miss_is_judged_where_nobody_was_beside_it() -> None:
    told = missed("busy")
    assert judged(told)["H5"] == 1
    told.collect("c", 3, 5, 0)
    assert "H5" not in judged(told)


# --- collects -------------------------------------------------------------------------------------


def test_a_collect_counts_once_however_many_rules_look_at_it() -> None:
    """Nothing was staged, nobody is there, it is within the budget, and all counts are compared."""
    told = bare(keys=("a",), entry_bytes=10)
    told.collect("c", 5, 6, 0, over_budget_bytes=0, budget_bytes=10)
    assert judged(told) == {"H7": 1, "H10": 1}


@pytest.mark.parametrize(("shifted_s", "checker"), [(0.0, "H7"), (-9.0, "H11")])
def test_a_collect_alone_is_judged(shifted_s: float, checker: str) -> None:
    told = bare()
    told.strike(0, 1, Excuse.REFUSES)  # the other rules do not look at what comes after
    told.collect("c", 5, 6, 0, stood=0, stayed=0, shifted_s=shifted_s, over_budget_bytes=0)
    assert judged(told) == {checker: 1, "H10": 1}


def test_a_collect_after_clocks_moved_is_judged_by_H11() -> None:
    told = bare(keys=("a",), entry_bytes=10)
    told.strike(0, 1, Excuse.AGES)
    told.death("w", 3)
    told.collect("c", 5, 6, 0, over_budget_bytes=0, budget_bytes=10)
    assert judged(told)["H11"] == 1


def test_a_collect_by_age_is_judged_by_what_stays() -> None:
    told = bare()
    told.strike(0, 1, Excuse.REFUSES)
    told.collect("c", 5, 6, 1, min_age_s=3.0)
    told.collect("c", 7, 8, 0, min_age_s=3.0)  # it says that it took nothing
    told.collect("c", 9, 10, 1, min_age_s=0.0)
    assert judged(told) == {"H7": 1, "H10": 3}


# --- counters, answers ----------------------------------------------------------------------------


def counted(spoil: Callable[[Told], object] = id) -> int:
    told = bare(stats=True)
    told.op("r", 1, 2, "open", outcome=OpOutcome.DONE)
    told.miss("r", 3, 4, "a")
    spoil(told)
    told.stats("r", 9, 10, miss__absent=1)
    return judged(told).get("H8", 0)


def test_counters_are_judged_where_all_is_known_that_they_count() -> None:
    assert counted() == 1
    assert counted(lambda told: told.strike(1, 5, Excuse.REFUSES)) == 0
    assert counted(lambda told: told.error("r", 5, 6, "stage", "internal")) == 0
    assert counted(lambda told: told.miss("r", 5, 9.5, "b")) == 0


def test_H10_judges_what_was_answered_and_what_somebody_alive_still_owes() -> None:
    told = bare()
    told.miss("r", 1, 2, "a")
    told.op("dead", 1, None, "lookup", key="a")
    told.death("dead", 3)
    assert judged(told) == {"H10": 1}
    told.op("alive", 1, None, "lookup", key="a")
    assert judged(told) == {"H10": 2}
    told.strike(0, 5, Excuse.STOPS)
    assert judged(told) == {"H10": 1}


def test_H10_judges_errors_that_nothing_excuses_and_deaths_that_nobody_asked_for() -> None:
    told = bare()
    told.error("p", 1, 2, Verb.OPEN.value, "root-refused")
    told.error("p", 3, 4, Verb.STAGE.value, "internal")
    assert judged(told) == {"H10": 2}
    told.strike(0, 5, Excuse.REFUSES)
    assert judged(told) == {"H10": 1}  # who may be refused its root is not judged
    told.death("p", 6, asked=False, how="exit code 1")
    assert judged(told) == {"H10": 2}
