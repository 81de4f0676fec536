"""A real verdict to report on: judged by the law, with every outcome in it."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn_conformance.contract import Capability, select
from untorn_conformance.verdict import (
    CaseResult,
    Evidence,
    EvidenceClass,
    Measurement,
    Outcome,
    judge,
    to_json,
)

SAMPLED = Evidence(kind=EvidenceClass.SAMPLED, detail="seed 7, 400 rounds")
EXHAUSTIVE = Evidence(kind=EvidenceClass.EXHAUSTIVE, detail="every order of two writers")
PROVENANCE = {
    "backend": "reference",
    "backend_version": "0.1.0",
    "command": "untorn verify --backend reference --dir /dev/shm",
    "file_system": "tmpfs at /dev/shm",
    "kernel": "Linux 6.8.0",
    "python": "3.11.9",
    "seed": 1234,
    "limits": {"reap_grace_s": 60.0, "flight_wait_s": 2.0},
    "capabilities": ["lease", "stats"],
}
CLIPS = [("bars", 1.9, 0.01), ("sky", 12.25, 0.062), ("walk", 1500.0, 0.1), ("tiny", 0.2, 0.04)]


def case(name: str, outcome: Outcome, detail: str) -> CaseResult:
    return CaseResult(
        case=name,
        requirements=(name.partition(".")[0],),
        outcome=outcome,
        evidence=EXHAUSTIVE if outcome is Outcome.PASS else SAMPLED,
        detail=detail,
        duration_s=0.25,
    )


def make_document(*cases: tuple[str, Outcome, str]) -> dict[str, Any]:
    verdict = judge(
        [case(*each) for each in cases],
        capabilities=frozenset({Capability.LEASE, Capability.STATS, Capability.SINGLE_FLIGHT}),
        selected=select(["P,R,C,E,O"]),
        expected_cases={"E2.fork": ["E2"]},
    )
    measurements = [
        Measurement(
            name=name,
            numbers={"cold_s": cold, "warm_s": warm, "ratio": cold / warm, "psnr_db": float("inf")},
        )
        for name, cold, warm in CLIPS
    ]
    return to_json(verdict, provenance=PROVENANCE, measurements=measurements)


@pytest.fixture
def document_of() -> Callable[..., dict[str, Any]]:
    """Make the document of a run, from the name, outcome and detail of each of its cases."""
    return make_document


@pytest.fixture
def document() -> dict[str, Any]:
    """A verdict with each of the nine outcomes."""
    return make_document(
        ("P1.whole_or_absent", Outcome.FAIL, "seen: frame_00002.png\nmissing: frame_00003.png"),
        ("P1.large", Outcome.PASS, ""),
        ("P2.one_winner", Outcome.PASS, ""),
        ("P3.untouched", Outcome.UNKNOWN, "UNKNOWN: the fault never fired"),
        ("P4.stray_file", Outcome.NOT_APPLICABLE, "capability plant is not declared"),
        ("P5.says_why", Outcome.DEVIATION, "known: #12"),
        ("P7.once", Outcome.PASS, ""),
        ("R1.numeric_order", Outcome.PASS, ""),
        ("R2.hits", Outcome.HARNESS_ERROR, "the fixture failed"),
    )


# --- storms --------------------------------------------------------------------------------------

SAMPLES = runpy.run_path(str(Path(__file__).with_name("storm_samples.py")))


@pytest.fixture
def storm_document() -> dict[str, Any]:
    """What a storm of a minute with three findings tells."""
    document: dict[str, Any] = SAMPLES["storm_document"]()
    return document


@pytest.fixture
def write_storm() -> Callable[..., Path]:
    """Write a storm's run directory."""
    write: Callable[..., Path] = SAMPLES["write_storm"]
    return write


@pytest.fixture
def storm(tmp_path: Path) -> Path:
    """The run directory of a storm with three findings."""
    written: Path = SAMPLES["write_storm"](tmp_path / "storm")
    return written


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """The directory of a campaign: three storms, two of which found something."""
    written: Path = SAMPLES["write_campaign"](tmp_path / "campaign")
    return written
