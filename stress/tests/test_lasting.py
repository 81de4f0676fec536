"""A fault that lasts is foreseen from the run in which it was met once, if it is met no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from untorn_stress import lasting
from untorn_stress.explore import Budget, Search
from untorn_stress.foresight import Foresight
from untorn_stress.gate.availability import probe
from untorn_stress.gated import GatedRun, GatedSystem
from untorn_stress.grain import Grain
from untorn_stress.laboratory import Laboratory
from untorn_stress.run import Run
from untorn_stress.scenarios import scenario
from untorn_stress.schedulers.dfs_bounded import BoundedDfs
from untorn_stress.schedulers.protocol import NondeterminismError

pytestmark = pytest.mark.skipif(not probe().ok, reason=f"no gate here: {probe().reason}")

NEVER = 10**9
TWO_LOOKS = """
def lookup(self, *, key):
    for name in ("one", "two"):
        try:
            os.mkdir(os.path.join(self._root, name))
            os.rmdir(os.path.join(self._root, name))
        except OSError:
            pass
    return super().lookup(key=key)
"""
"""Two calls that can say ENOSPC, and two that cannot; all can say EIO."""


@pytest.fixture
def system(laboratory_of: Callable[..., Laboratory]) -> GatedSystem:
    laboratory = laboratory_of(TWO_LOOKS, grain=Grain.DATA)
    played = scenario("failing-lookup")
    return laboratory.system(played, laboratory.natural(played.tree), errnos=True)


def runs(system: GatedSystem | Foresight[GatedRun]) -> dict[tuple[str, ...], Run]:
    """The runs of a lone worker with one failing call at most, by what was chosen."""
    search = Search(system, BoundedDfs(preemptions=0, faults=1), Budget())
    return {result.run.choices: result.run for result in search}


def test_each_run_that_is_foreseen_is_what_it_is_when_it_is_made(system: GatedSystem) -> None:
    foreseeing = Foresight(system, check_every=NEVER)
    assert runs(foreseeing) == runs(system)
    assert foreseeing.foreseen > 0


def test_a_fault_that_further_calls_meet_is_made(system: GatedSystem) -> None:
    """ENOSPC of the first mkdir is met by the second one, that of the second by nobody."""
    made: list[tuple[str, ...]] = []
    make = system.run

    def noting(choose: Any) -> GatedRun:
        result = make(choose)
        made.append(result.run.choices)
        return result

    system.run = noting  # type: ignore[method-assign]
    lasting_ones = {
        choices
        for choices in runs(Foresight(system, check_every=NEVER))
        if any(label == "A!ENOSPC+" for label in choices)
    }
    assert len(lasting_ones) == 2
    assert len(lasting_ones & set(made)) == 1


@pytest.mark.parametrize(
    ("name", "unsound"),
    [("_is_offered", lambda *_: False), ("_left_to", lambda _actor, options: options)],
    ids=["met by nobody", "met again"],
)
def test_wrong_grounds_are_noticed(
    system: GatedSystem, name: str, unsound: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lasting, name, unsound)
    with pytest.raises(NondeterminismError):
        runs(Foresight(system, check_every=1))
