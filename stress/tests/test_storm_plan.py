"""What a storm draws is a function of its seed, and every nemesis has its turn."""

from __future__ import annotations

import pytest
from untorn_conformance.cli_storm import nemesis_names, worker_counts
from untorn_stress.storm.nemesis.catalogue import NEMESES, SMALL_DISK
from untorn_stress.storm.plan import CLEAR_ROUNDS, RoundPlan, Wanted, plan_round

WANTED = Wanted(seed=7, duration_s=60.0)


def plans(wanted: Wanted = WANTED, count: int = 60) -> list[RoundPlan]:
    return [plan_round(wanted, number, has_small=True) for number in range(1, count + 1)]


def struck(plan: RoundPlan) -> set[str]:
    return {each.nemesis for each in plan.strikes}


def test_a_seed_repeats_its_plan() -> None:
    assert plans() == plans()


def test_another_seed_strikes_at_other_times() -> None:
    one, other = (plans(Wanted(seed=seed, duration_s=60.0), count=1)[0] for seed in (7, 8))
    assert [each.at_s for each in one.strikes] != [each.at_s for each in other.strikes]


@pytest.mark.parametrize("seed", range(20))
def test_every_nemesis_has_its_turn(seed: int) -> None:
    drawn = plans(Wanted(seed=seed, duration_s=60.0), count=12)
    assert set().union(*map(struck, drawn)) == set(NEMESES)


def test_the_seed_decides_whose_turn_is_first() -> None:
    first = [struck(*plans(Wanted(seed=seed, duration_s=60.0), count=1)) for seed in range(20)]
    assert set().union(*first) >= set(NEMESES) - SMALL_DISK


def test_a_round_is_longer_than_each_of_its_strikes() -> None:
    for plan in plans():
        ends_s = [each.at_s + NEMESES[each.nemesis].lasts_s for each in plan.strikes]
        assert max(ends_s) <= plan.work_s


def test_only_the_small_file_system_is_filled() -> None:
    assert all(plan.is_small for plan in plans() if struck(plan) & SMALL_DISK)


def test_some_rounds_have_kills_alone() -> None:
    quiet = [plan for plan in plans() if struck(plan) <= {"kill"}]
    assert len(quiet) == 60 // CLEAR_ROUNDS


def test_so_many_kills_a_second_as_asked() -> None:
    kills = [each for plan in plans() for each in plan.strikes if each.nemesis == "kill"]
    per_s = len(kills) / sum(plan.work_s for plan in plans())
    assert per_s == pytest.approx(10.0, rel=0.1)


def test_no_nemesis_means_no_strike() -> None:
    assert set().union(*map(struck, plans(Wanted(seed=7, duration_s=9, nemeses=())))) == set()


def test_worker_counts() -> None:
    assert worker_counts("6,4,2") == (6, 4, 2)


@pytest.mark.parametrize("text", ["0,0,0", "1,2", "-1,2,3", "a,b,c", "65,1,1", ""])
def test_what_are_no_workers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write readers,writers,collectors"):
        worker_counts(text)


def test_all_and_none_are_nemeses() -> None:
    assert (nemesis_names("all"), nemesis_names("none")) == (tuple(NEMESES), ())


def test_a_misspelt_nemesis_is_corrected() -> None:
    with pytest.raises(ValueError, match="did you mean root-removed"):
        nemesis_names("kill,root-remove")
