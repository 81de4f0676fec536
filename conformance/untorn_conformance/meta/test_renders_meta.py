"""Renders at the gate, seen from outside: what two mutants do wrong is found, by the right rows."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from untorn_conformance import subjects
from untorn_conformance.meta.killing import backend_of
from untorn_fixtures import clips
from untorn_stress.explorer import Exploration, Explored
from untorn_stress.gate.availability import probe
from untorn_stress.gated import GatedSystem
from untorn_stress.grain import Grain
from untorn_stress.laboratory import Patience
from untorn_stress.run import KILL, Step
from untorn_stress.scenario import Scenario
from untorn_stress.scenarios import FAILING_RENDER, RENDER_ALONE
from untorn_stress.schedulers.fail_nth import FailNth, Site
from untorn_stress.schedulers.replay import Replay

pytestmark = pytest.mark.skipif(not probe().ok, reason=f"UNKNOWN: no gate here: {probe().reason}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Strike:
    """A fault at the last step of a render whose call is this, with these words in its detail.

    The last clip is decoded by itself, whatever ranges of the others are decoded at once.
    """

    played: Scenario
    fault: str
    call: str
    words: tuple[str, ...]

    def step(self, system: GatedSystem) -> int:
        """Where that is in a render that nothing befalls."""
        system.record = True
        steps = system.run(Replay(()).choose).run.steps
        system.record = False
        return max(step.number for step in steps if self._is_meant(step))

    def is_at(self, step: int, site: Site) -> bool:
        """Whether the site is the one; of several threads another may be the one to die first."""
        return site.step == step and site.label.partition("!")[2] == self.fault

    def _is_meant(self, step: Step) -> bool:
        return step.call == self.call and all(word in step.detail for word in self.words)


DISK_FULL = Strike(
    played=FAILING_RENDER,
    fault="ENOSPC",
    call="openat",
    words=("staging/", "frame_00002", "CREAT"),
)
"""The decoder finds no room for its second frame."""


def struck(backend: str, strike: Strike) -> Explored:
    """One render of the backend that the strike befalls."""
    kills = strike.fault == KILL
    with subjects.laboratory(
        backend,
        seed=0,
        grain=Grain.DATA,
        patience=Patience(),
        clip=str(clips.settled(subjects.CLIP)),
    ) as laboratory:
        start = laboratory.natural(strike.played.tree)
        step = strike.step(laboratory.system(strike.played, start))
        assert not laboratory.not_told
        return Exploration(
            laboratory,
            strike.played,
            start,
            FailNth(only=lambda each: strike.is_at(step, each)),
            described=f"{strike.fault} at step {step}",
            kills=kills,
            errnos=not kills,
        ).run()


def rules(explored: Explored) -> set[str]:
    assert (explored.undecided, explored.nondeterministic, explored.runs) == ("", "", 2)
    return {f"{each.finding.requirement} {each.finding.rule}" for each in explored.found}


def test_frames_that_are_missing_after_a_fault_are_found() -> None:
    assert rules(struck(backend_of("exit_code_ignored"), DISK_FULL)) >= {"D2 other-names"}


def test_the_reference_has_all_frames_after_the_same_fault() -> None:
    assert rules(struck("reference", DISK_FULL)) == set()


WRITES_IN_PLACE = Strike(played=RENDER_ALONE, fault=KILL, call="write", words=("v1/", "frame_"))
"""A worker dies with its entry in its place and no bytes in it yet."""


def test_an_entry_that_a_death_left_empty_is_found() -> None:
    found = rules(struck(backend_of("filled_in_place"), WRITES_IN_PLACE))
    assert {each.partition(" ")[0] for each in found} & {"C1", "C2"}, found
