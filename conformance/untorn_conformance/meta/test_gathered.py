"""Failing schedules that were kept fail again, each time with the finding that it was kept for.

Twenty at every change; all of them, ten times each, with ``--nightly``.
"""

from __future__ import annotations

import pytest
from untorn_conformance.meta.gathered import Gathered, astray, by_laboratory, read, sample
from untorn_stress.gate.availability import probe

KEPT = read()
GROUPS = by_laboratory(KEPT)
SAMPLED = 20
TIMES = 10

gated = pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")


def test_a_thousand_schedules_of_twenty_findings_are_kept() -> None:
    assert len(KEPT) >= 1000
    assert len({each.key for each in KEPT}) >= 20


def test_no_schedule_is_kept_twice_for_one_finding() -> None:
    runs = {(each.key, each.token.tree, each.token.choices) for each in KEPT}
    assert len(runs) == len(KEPT)


def test_a_sample_holds_each_finding_once_before_any_twice() -> None:
    findings = len({each.key for each in KEPT})
    for count in (SAMPLED, findings, findings + 1):
        some = sample(KEPT, count)
        assert len(some) == count
        assert len({each.key for each in some}) == min(count, findings)


@gated
def test_a_sample_of_the_kept_schedules_shows_the_same_again() -> None:
    assert astray(sample(KEPT, SAMPLED), times=1) == {}


@gated
@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kept", GROUPS.values(), ids=[backend for backend, _ in GROUPS])
def test_every_kept_schedule_shows_the_same_ten_times(kept: list[Gathered]) -> None:
    assert astray(kept, times=TIMES) == {}
