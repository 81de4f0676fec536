"""A backend that writes where nobody looks is said so, and never called exhausted."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from untorn_conformance import registry, subjects
from untorn_stress.explorer import Exploration, Explored, bounded
from untorn_stress.gate import availability
from untorn_stress.laboratory import Laboratory
from untorn_stress.scenarios import scenario

PROGRAMS = Path(__file__).resolve().parents[3] / "stress" / "tests" / "programs"
GATE = availability.probe()

pytestmark = pytest.mark.skipif(not GATE.ok, reason=f"the gate cannot be used: {GATE.reason}")


def explored(backend: str, outside: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> Explored:
    monkeypatch.setattr(sys, "path", [*sys.path, str(PROGRAMS)])
    monkeypatch.setenv("UNTORN_WICKED_OUTSIDE", str(outside))
    spec = registry.parse(backend)
    subject = subjects.subject_of(spec, subjects.ask_hello(spec, base))
    scheduler, described = bounded(0)
    with Laboratory(subject, base=base) as laboratory:
        played = scenario("reader-writer")
        start = laboratory.natural(played.tree)
        return Exploration(laboratory, played, start, scheduler, described=described).run()


def test_what_is_written_elsewhere_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "elsewhere"
    found = explored("py:wicked_backends:writes_outside", outside, tmp_path, monkeypatch)
    assert found.unobserved == (f"B changes {outside}, where nobody looks",)
    assert not found.exhaustive


def test_a_cache_that_keeps_to_its_root_is_exhausted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = explored("reference", tmp_path / "elsewhere", tmp_path, monkeypatch)
    assert found.unobserved == ()
    assert found.exhaustive
