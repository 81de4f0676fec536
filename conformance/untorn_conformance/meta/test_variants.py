"""What is right is accepted: no false alarm about the reference with lawful differences.

At every change each variant meets the cases that show mutants in the rows which it comes near to;
with ``--nightly`` the whole kill matrix is made: every such case and two searches (test_matrix).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from untorn_conformance.contract import REQUIREMENTS
from untorn_conformance.meta import accepting
from untorn_conformance.meta.accepting import (
    CASES,
    CHEAPEST,
    VARIANTS,
    accept_cases,
    accept_search,
    near,
)
from untorn_stress.gate import availability


def test_there_are_variants_cases_and_searches() -> None:
    assert len(VARIANTS) >= 5
    assert len(CHEAPEST) == 2


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_comes_near_to_rows_that_cases_show(name: str) -> None:
    assert near(name)
    assert REQUIREMENTS.keys() >= near(name)
    assert near(name) & {case.row for case in CASES}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_accepted_where_it_differs(name: str) -> None:
    shot = accept_cases(name, [case for case in CASES if case.row in near(name)])
    assert not shot.missed, shot.missed
    if shot.unknown:
        pytest.skip(f"UNKNOWN: {shot.unknown}")


def test_what_is_wrong_is_not_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mutant = "py:untorn_conformance.mutants.locks_believed:factory"
    monkeypatch.setattr(accepting, "backend_of", lambda _: mutant)
    if availability.probe().ok:
        assert "over damage" in accept_search("a variant", CHEAPEST[1], tmp_path).missed
    mutant = mutant.replace("locks_believed", "hits_uncounted")
    monkeypatch.setattr(accepting, "backend_of", lambda _: mutant)
    shot = accept_cases("a variant", [case for case in CASES if case.row == "O1"])
    assert "'O1.hits_and_misses_by_reason': 'FAIL'" in shot.missed
