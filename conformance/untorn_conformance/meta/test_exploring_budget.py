"""A search that a budget ended is no answer: it is UNKNOWN, and says how far it came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from untorn_conformance.done import Done
from untorn_conformance.meta import asking
from untorn_stress.gate.availability import probe

pytestmark = pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")


def explore(out: Path, **how: Any) -> Done:
    return asking.explore("reference", out, "writer-writer", tree="empty", **how)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"preemptions": 2}, "of at most 2 preemptions from empty, whole to 0"),
        ({"scheduler": "dfs-unbounded"}, "of any number of preemptions from empty"),
    ],
)
def test_a_budget_that_ends_within_the_last_search_leaves_it_undecided(
    how: dict[str, Any], said: str, tmp_path: Path
) -> None:
    said = f"3 schedules, 2 made {said}"
    done = explore(tmp_path, runs=3, **how)
    assert done.exit_code == 6
    assert done.text.splitlines()[-1] == (
        f"UNKNOWN: the budget ended before the search did: writer-writer: {said}"
    )
    assert done.document["stopped"].endswith(said)


def test_seconds_that_end_within_the_drawn_runs_leave_them_undecided(tmp_path: Path) -> None:
    assert explore(tmp_path, scheduler="pct", budget_s=0.5).exit_code == 6


@pytest.mark.parametrize("scheduler", ["pct", "random"])
def test_all_the_runs_that_were_to_be_drawn_are_an_answer(scheduler: str, tmp_path: Path) -> None:
    assert explore(tmp_path, scheduler=scheduler, runs=3).exit_code == 0


def test_a_search_that_ends_within_its_budget_is_an_answer(tmp_path: Path) -> None:
    assert explore(tmp_path, preemptions=0, runs=50).exit_code == 0
