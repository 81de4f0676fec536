"""How the results of cases become a verdict.

Rule 1: what is not known is never a pass. A skip, a missing result, an untested row: each has its
        own word.
Rule 2: per requirement the worst case counts.
Rule 3: a requirement that a backend's capabilities do not reach is NOT_APPLICABLE, whatever ran.
Rule 4: a row that declares itself untested, in whole or in part, is at best UNTESTED.
Rule 5: a failed dependency takes a pass away (BLOCKED); it never excuses a failure.
Rule 6: our own failure makes the run invalid, before anything is said about the backend.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from untorn_conformance.contract import (
    CONTRACT_VERSION,
    REQUIREMENTS,
    Capability,
    Level,
    Requirement,
)
from untorn_conformance.errors import ProtocolError
from untorn_conformance.wire import from_plain, to_plain

SCHEMA: Final = "untorn/verdict/1"

CANARY_PREFIX: Final = "canary."
"""How the id of a canary begins; a requirement's case begins with the requirement."""


class Outcome(StrEnum):
    """What came of a case, or of a requirement."""

    PASS = "PASS"  # noqa: S105 (a verdict, not a password)
    FAIL = "FAIL"
    UNKNOWN = "UNKNOWN"
    NOT_APPLICABLE = "NOT_APPLICABLE"
    UNTESTED = "UNTESTED"
    BLOCKED = "BLOCKED"
    DEVIATION = "DEVIATION"
    HARNESS_ERROR = "HARNESS_ERROR"
    NOT_RUN = "NOT_RUN"


_WORST_FIRST: Final = (
    Outcome.HARNESS_ERROR,
    Outcome.FAIL,
    Outcome.NOT_RUN,
    Outcome.UNKNOWN,
    Outcome.UNTESTED,
    Outcome.BLOCKED,
    Outcome.DEVIATION,
    Outcome.PASS,
)
_INVALIDATES: Final = frozenset({Outcome.HARNESS_ERROR, Outcome.NOT_RUN})
_UNPROVED: Final = frozenset(
    {Outcome.UNKNOWN, Outcome.UNTESTED, Outcome.DEVIATION, Outcome.BLOCKED}
)
_NARROWS: Final = frozenset({Outcome.UNTESTED, Outcome.DEVIATION})
"""Cases that were left out, or whose failure is known: even of a row that binds nobody."""
_JUDGED: Final = frozenset({Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN, Outcome.DEVIATION})
_LOST: Final = frozenset({Outcome.FAIL, Outcome.DEVIATION, Outcome.BLOCKED})
_BLOCKABLE: Final = frozenset({Outcome.PASS, Outcome.DEVIATION, Outcome.UNKNOWN})


class EvidenceClass(StrEnum):
    """How far the evidence reaches."""

    EXHAUSTIVE = "EXHAUSTIVE"
    SAMPLED = "SAMPLED"
    UNTESTED = "UNTESTED"


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What a result rests on; ``detail`` is the bound, the seed and count, or the reason."""

    kind: EvidenceClass
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseResult:
    """What came of one case.

    ``case`` is its stable id, such as ``P1.whole_or_absent``; ``detail`` the failure's text or the
    reason; ``duration_s`` the wall time in seconds.
    """

    case: str
    requirements: tuple[str, ...]
    outcome: Outcome
    evidence: Evidence
    detail: str = ""
    duration_s: float = 0.0

    @property
    def is_canary(self) -> bool:
        """Whether it judges the harness, by a cache that is known to be broken."""
        return self.case.startswith(CANARY_PREFIX)


@dataclass(frozen=True, kw_only=True, slots=True)
class RequirementResult:
    """What came of one requirement, the cases it rests on, and why it is not more."""

    id: str
    outcome: Outcome
    evidence: tuple[Evidence, ...] = ()
    cases: tuple[str, ...] = ()
    reason: str = ""


class VerdictWord(StrEnum):
    """The verdict in one word."""

    CONFORMANT = "conformant"
    PARTIAL = "partial"
    NON_CONFORMANT = "non-conformant"
    INVALID = "invalid"


EXIT_CODES: Final[Mapping[VerdictWord, int]] = MappingProxyType(
    {
        VerdictWord.CONFORMANT: 0,
        VerdictWord.PARTIAL: 6,
        VerdictWord.NON_CONFORMANT: 1,
        VerdictWord.INVALID: 7,
    }
)
"""The exit code of each verdict; 2 to 5 belong to pytest."""

MEANINGS: Final[Mapping[VerdictWord, str]] = MappingProxyType(
    {
        VerdictWord.CONFORMANT: "Every requirement that applies was judged, and each passed.",
        VerdictWord.PARTIAL: (
            "No binding requirement failed, but not every one that applies is proved."
        ),
        VerdictWord.NON_CONFORMANT: "At least one binding requirement failed.",
        VerdictWord.INVALID: (
            "The run says nothing about the backend: the harness failed, cases did not run, or "
            "its baseline is stale."
        ),
    }
)
"""What each verdict means, in one sentence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The verdict of one run on one backend; ``profile`` names the core and the capabilities."""

    word: VerdictWord
    profile: str
    requirements: tuple[RequirementResult, ...]
    cases: tuple[CaseResult, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """A named row of numbers that a case took, such as seconds and a ratio; never judged."""

    name: str
    numbers: Mapping[str, int | float]


# --- judging ---------------------------------------------------------------------------------


def judge(
    cases: Iterable[CaseResult],
    *,
    capabilities: frozenset[Capability],
    selected: Sequence[Requirement],
    expected_cases: Mapping[str, Sequence[str]],
) -> Verdict:
    """Judge a run: its case results against the selected requirements.

    ``capabilities`` are the declared ones; ``expected_cases`` maps the id of each case that should
    have reported to its requirements. Raises ValueError when a case names a requirement that the
    contract does not have.
    """
    results = tuple(cases)
    results += _missing(results, expected_cases)
    _check_requirements_exist(results)
    rows = tuple(_judge_row(row, results, capabilities) for row in selected)
    rows = _with_blocked(rows)
    return Verdict(
        word=_word(rows, results),
        profile=profile_of(capabilities),
        requirements=rows,
        cases=results,
    )


def profile_of(capabilities: frozenset[Capability]) -> str:
    """Name what a backend was judged by: the core and its capabilities, in the contract's order."""
    return " + ".join(["core", *(item.value for item in Capability if item in capabilities)])


def _missing(
    results: Sequence[CaseResult], expected: Mapping[str, Sequence[str]]
) -> tuple[CaseResult, ...]:
    reported = {result.case for result in results}
    reason = "no result came: the process that ran the case ended before it reported"
    return tuple(
        CaseResult(
            case=case,
            requirements=tuple(requirements),
            outcome=Outcome.NOT_RUN,
            evidence=Evidence(kind=EvidenceClass.UNTESTED, detail=reason),
            detail=reason,
        )
        for case, requirements in expected.items()
        if case not in reported
    )


def _check_requirements_exist(results: Sequence[CaseResult]) -> None:
    for result in results:
        unknown = [each for each in result.requirements if each not in REQUIREMENTS]
        if unknown:
            raise ValueError(f"case {result.case} names {unknown[0]!r}, which no contract row has")


def _judge_row(
    row: Requirement, results: Sequence[CaseResult], capabilities: frozenset[Capability]
) -> RequirementResult:
    """Judge one requirement by the cases that name it (rules 2, 3 and 4)."""
    own = [result for result in results if row.id in result.requirements]
    names = tuple(dict.fromkeys(result.case for result in own))
    if not row.applies_to(capabilities):
        absent = [need.value for need in Capability if need in row.needs - capabilities]
        return RequirementResult(
            id=row.id,
            outcome=Outcome.NOT_APPLICABLE,
            cases=names,
            reason=f"not declared: {', '.join(absent)}",
        )
    told = [result for result in own if result.outcome is not Outcome.NOT_APPLICABLE]
    outcome = min((result.outcome for result in told), key=_WORST_FIRST.index, default=None)
    reason = _reason(outcome, told)
    if outcome is None or (row.untested and _is_worse(Outcome.UNTESTED, outcome)):
        outcome, reason = Outcome.UNTESTED, _untested_reason(row, own)
    return RequirementResult(
        id=row.id,
        outcome=outcome,
        evidence=_evidence(row, told),
        cases=names,
        reason=reason,
    )


def _is_worse(outcome: Outcome, other: Outcome) -> bool:
    return _WORST_FIRST.index(outcome) < _WORST_FIRST.index(other)


def _reason(outcome: Outcome | None, results: Sequence[CaseResult]) -> str:
    """Quote the cases that made the outcome; a pass needs no reason."""
    if outcome is Outcome.PASS:
        return ""
    guilty = [result for result in results if result.outcome is outcome]
    return "\n".join(f"{result.case}: {result.detail}" for result in guilty)


def _untested_reason(row: Requirement, own: Sequence[CaseResult]) -> str:
    if row.untested:
        return row.untested
    if own:
        return "each of its cases needs a capability that is not declared"
    return "no case of this run judges it"


def _evidence(row: Requirement, results: Sequence[CaseResult]) -> tuple[Evidence, ...]:
    found = dict.fromkeys(result.evidence for result in results)
    if row.untested:
        found[Evidence(kind=EvidenceClass.UNTESTED, detail=row.untested)] = None
    return tuple(found)


def _with_blocked(rows: Sequence[RequirementResult]) -> tuple[RequirementResult, ...]:
    """Take the pass from each row that rests on a lost one (rule 5), however long the chain."""
    by_id = {row.id: row for row in rows}
    return tuple(_block(row, _lost_dependency(row.id, by_id)) for row in rows)


def _lost_dependency(name: str, by_id: Mapping[str, RequirementResult]) -> str | None:
    """Find a failed row that this one rests on; the contract's dependencies have no cycle."""
    for needed in REQUIREMENTS[name].depends_on:
        row = by_id.get(needed)
        if row is not None and row.outcome in _LOST:
            return needed
        deeper = _lost_dependency(needed, by_id)
        if deeper is not None:
            return deeper
    return None


def _block(row: RequirementResult, lost: str | None) -> RequirementResult:
    if lost is None or row.outcome not in _BLOCKABLE:
        return row
    reason = f"means nothing while {lost} does not hold"
    return replace(row, outcome=Outcome.BLOCKED, reason=reason)


def _word(rows: Sequence[RequirementResult], results: Sequence[CaseResult]) -> VerdictWord:
    outcomes = {result.outcome for result in results}
    judged = any(result.requirements and result.outcome in _JUDGED for result in results)
    if outcomes & _INVALIDATES or not judged:
        return VerdictWord.INVALID
    binding = {row.outcome for row in rows if REQUIREMENTS[row.id].level is Level.MUST}
    if Outcome.FAIL in binding:
        return VerdictWord.NON_CONFORMANT
    mute = any(each.is_canary and each.outcome is not Outcome.PASS for each in results)
    narrowed = {row.id for row in rows} != set(REQUIREMENTS) or outcomes & _NARROWS or mute
    if binding & _UNPROVED or narrowed:
        return VerdictWord.PARTIAL
    return VerdictWord.CONFORMANT


# --- as JSON ---------------------------------------------------------------------------------


def to_json(
    verdict: Verdict,
    *,
    provenance: Mapping[str, Any],
    measurements: Iterable[Measurement] = (),
) -> dict[str, Any]:
    """Make the document ``verdict.json``; it stands alone, with the text of the rows it judges.

    ``provenance`` says what was run where and how. Required are ``backend``, its name or an object
    with a ``name``, and ``command``, a text or its arguments; all else is free. Numbers that JSON
    has no word for are written as text: ``"inf"``, ``"-inf"``, ``"nan"``. Raises ValueError when
    the provenance lacks a required name.
    """
    for name in ("backend", "command"):
        if name not in provenance:
            raise ValueError(f"the provenance of a verdict must name its {name}")
    return {
        "schema": SCHEMA,
        "contract": {
            "version": CONTRACT_VERSION,
            "total": len(REQUIREMENTS),
            "requirements": {
                row.id: _row_json(REQUIREMENTS[row.id]) for row in verdict.requirements
            },
        },
        "word": verdict.word.value,
        "exit_code": EXIT_CODES[verdict.word],
        "profile": verdict.profile,
        "requirements": to_plain(verdict.requirements),
        "cases": to_plain(verdict.cases),
        "measurements": [_measurement_json(item) for item in measurements],
        "provenance": to_plain(provenance),
    }


def from_json(document: Mapping[str, Any]) -> Verdict:
    """Read the verdict back; raises ValueError for another schema or a malformed document."""
    if document.get("schema") != SCHEMA:
        raise ValueError(f"not a verdict of schema {SCHEMA}: {document.get('schema')!r}")
    names = ("word", "profile", "requirements", "cases")
    try:
        return from_plain(
            Verdict, {name: document[name] for name in names if name in document}, where="verdict"
        )
    except ProtocolError as error:
        raise ValueError(f"not a verdict: {error}") from error


def _row_json(row: Requirement) -> dict[str, Any]:
    return {
        "chapter": row.chapter,
        "level": row.level.value,
        "needs": [need.value for need in Capability if need in row.needs],
        "text": row.text,
        "observed_by": row.observed_by,
        "brought_about_by": row.brought_about_by,
        "oracle": row.oracle,
        "depends_on": list(row.depends_on),
    }


def _measurement_json(item: Measurement) -> dict[str, Any]:
    numbers = {name: _finite_or_text(number) for name, number in item.numbers.items()}
    return {"name": item.name, "numbers": numbers}


def _finite_or_text(number: float) -> float | str:
    return number if math.isfinite(number) else str(float(number))
