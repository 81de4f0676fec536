"""Schedules that once broke the reference are made again, and break it no more."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import untorn_fixtures
from untorn_conformance import registry, subjects
from untorn_stress.gate import availability
from untorn_stress.grain import Grain
from untorn_stress.laboratory import Laboratory
from untorn_stress.scenarios import scenario
from untorn_stress.schedulers.replay import Replay
from untorn_stress.token import parse_schedule

SCHEDULES = Path(untorn_fixtures.__file__).parent / "schedules" / "reference.toml"
KEPT = tomllib.loads(SCHEDULES.read_text(encoding="utf-8"))["schedule"]
GATE = availability.probe()


@pytest.mark.skipif(not GATE.ok, reason=f"the gate cannot be used here: {GATE.reason}")
@pytest.mark.parametrize("kept", KEPT, ids=[each["name"] for each in KEPT])
def test_a_kept_schedule_finds_nothing_any_more(kept: dict[str, Any], tmp_path: Path) -> None:
    spec = registry.parse("reference")
    subject = subjects.subject_of(spec, subjects.ask_hello(spec, tmp_path))
    labels = parse_schedule(kept["schedule"])
    fails = any("!" in label for label in labels)
    grain = Grain.DATA if fails else Grain.METADATA
    with Laboratory(subject, base=tmp_path, grain=grain) as laboratory:
        start = laboratory.start(kept["tree"])
        system = laboratory.system(scenario(kept["scenario"]), start, errnos=fails)
        system.record = True
        run = system.run(Replay(labels).choose).run
    led_to = [f"{step.actor} {step.call}" for step in run.steps[: len(labels)]]
    assert led_to[-len(kept["calls"]) :] == kept["calls"], "it leads elsewhere: make it anew"
    assert run.findings == ()
