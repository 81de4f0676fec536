"""Brings the results of cases together, from however many processes ran them.

Rule 1: what crosses processes is a JSON string; anything richer can end the session (pytest-xdist).
Rule 2: a result counts once the case was torn down; a process that died in between leaves NOT_RUN.
Rule 3: what was collected is known from a file that every process writes, since a dead one cannot
        tell.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from untorn_conformance.cases import Case
from untorn_conformance.verdict import CaseResult, Evidence, EvidenceClass, Measurement, Outcome
from untorn_conformance.wire import from_plain, to_plain

PROPERTY = "untorn"
"""The name under which a phase report travels among a report's user properties."""

_BY_FILTER = "left out of this run by a filter of pytest's (-k, -m, --deselect or the like)"
_BY_BASELINE = "excluded by the baseline: "
_BY_CRASH = "the pytest process that ran the case died"

_WORST_FIRST = (
    Outcome.HARNESS_ERROR,
    Outcome.FAIL,
    Outcome.UNKNOWN,
    Outcome.DEVIATION,
    Outcome.NOT_APPLICABLE,
    Outcome.PASS,
    Outcome.NOT_RUN,
)
"""Which phase of a case counts; NOT_RUN is that of a phase that has nothing to say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseReport:
    """What one phase (setup, call, teardown) says about a case; it may have no outcome."""

    case: Case
    phase: str
    outcome: Outcome | None
    detail: str = ""
    duration_s: float = 0.0
    measurements: tuple[Measurement, ...] = ()

    def to_text(self) -> str:
        """Write it as the JSON string that may cross processes."""
        return json.dumps(to_plain(self))

    @staticmethod
    def from_text(text: str) -> PhaseReport:
        """Read what ``to_text`` wrote."""
        return from_plain(PhaseReport, json.loads(text), where="phase report")


@dataclass(frozen=True, kw_only=True, slots=True)
class Excluded:
    """A case that the baseline keeps from being run, and why."""

    case: Case
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """The cases that one process collected.

    ``cases`` are to run, ``filtered`` were left out by a filter of pytest's, ``unselected`` by
    ``--req``, ``excluded`` by the baseline.
    """

    cases: tuple[Case, ...] = ()
    filtered: tuple[Case, ...] = ()
    unselected: tuple[Case, ...] = ()
    excluded: tuple[Excluded, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.cases or self.filtered or self.unselected or self.excluded)

    def ids(self) -> list[str]:
        """The ids of all that judge the backend, which canaries do not."""
        excluded = (each.case for each in self.excluded)
        cases = (*self.cases, *self.filtered, *self.unselected, *excluded)
        return [case.id for case in cases if not case.fails_with]

    def write(self, folder: Path, name: str) -> None:
        """Write it into ``folder``, whole or not at all."""
        folder.mkdir(mode=0o700, exist_ok=True)
        self.write_file(folder / f"{name}.json")

    def write_file(self, path: Path) -> None:
        """Write it as a file, whole or not at all."""
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(to_plain(self)))
        os.replace(unfinished, path)

    @staticmethod
    def read_file(path: Path) -> Manifest:
        """Read what one process wrote."""
        return from_plain(Manifest, json.loads(path.read_text()), where="manifest")

    @staticmethod
    def read_all(folder: Path) -> Manifest:
        """Read and unite what all processes wrote; no folder is no cases."""
        manifests = [Manifest.read_file(path) for path in sorted(folder.glob("*.json"))]
        return Manifest(
            cases=_united(each.cases for each in manifests),
            filtered=_united(each.filtered for each in manifests),
            unselected=_united(each.unselected for each in manifests),
            excluded=tuple(dict.fromkeys(x for each in manifests for x in each.excluded)),
        )


@dataclass(kw_only=True, slots=True)
class Results:
    """The results as they come in, on the process that controls the run."""

    measurements: list[Measurement] = field(default_factory=list)
    _open: dict[str, CaseResult] = field(default_factory=dict)
    _done: dict[str, CaseResult] = field(default_factory=dict)
    _crashed: set[str] = field(default_factory=set)
    _broken_files: dict[str, str] = field(default_factory=dict)

    def add(self, report: PhaseReport) -> None:
        """Take in one phase; the worst phase counts."""
        case = report.case
        self.measurements += report.measurements
        result = self._open.pop(case.id, None)
        outcome = report.outcome or Outcome.NOT_RUN
        if result is None or _is_worse(outcome, result.outcome):
            spent_s = 0.0 if result is None else result.duration_s
            result = replace(_result(case, outcome, report.detail), duration_s=spent_s)
        result = replace(result, duration_s=result.duration_s + report.duration_s)
        ended = self._done if report.phase == "teardown" else self._open
        ended[case.id] = result

    def note_crash(self, nodeid: str) -> None:
        """Note that a process died while it ran this test."""
        self._crashed.add(nodeid)

    def note_broken_file(self, nodeid: str, text: str) -> None:
        """Note that a file could not be collected, so that nobody knows which cases are missing."""
        self._broken_files[nodeid] = text

    def all(self, manifest: Manifest) -> tuple[CaseResult, ...]:
        """Return the results in collected order; a case that nobody heard of again is not there."""
        results = []
        for case in manifest.cases:
            if case.nodeid in self._crashed:
                results.append(_result(case, Outcome.NOT_RUN, _BY_CRASH))
            elif case.id in self._done:
                results.append(self._done[case.id])
        results += [_result(case, Outcome.UNTESTED, _BY_FILTER) for case in manifest.filtered]
        results += [
            _result(each.case, Outcome.UNTESTED, _BY_BASELINE + each.reason)
            for each in manifest.excluded
        ]
        results += [_broken(nodeid, text) for nodeid, text in self._broken_files.items()]
        return tuple(results)


def expected_cases(cases: Iterable[Case]) -> Mapping[str, tuple[str, ...]]:
    """Say which cases should have reported, with their requirements."""
    return {case.id: case.requirements for case in cases}


def _united(groups: Iterable[Iterable[Case]]) -> tuple[Case, ...]:
    return tuple({case.id: case for group in groups for case in group}.values())


def _is_worse(outcome: Outcome, other: Outcome) -> bool:
    return _WORST_FIRST.index(outcome) < _WORST_FIRST.index(other)


def _broken(nodeid: str, text: str) -> CaseResult:
    return CaseResult(
        case=f"collection of {nodeid}",
        requirements=(),
        outcome=Outcome.HARNESS_ERROR,
        evidence=Evidence(kind=EvidenceClass.UNTESTED, detail="the file could not be collected"),
        detail=text,
    )


def _result(case: Case, outcome: Outcome, detail: str) -> CaseResult:
    """Make the result of a case; without a judgement its evidence is that there is none."""
    evidence = case.evidence
    if outcome not in (Outcome.PASS, Outcome.FAIL, Outcome.DEVIATION):
        evidence = Evidence(kind=EvidenceClass.UNTESTED, detail=detail.partition("\n")[0])
    return CaseResult(
        case=case.id,
        requirements=case.requirements,
        outcome=outcome,
        evidence=evidence,
        detail=detail,
    )
