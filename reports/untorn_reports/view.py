"""What a report shows of a verdict, before it has a form: grouped, counted, in reading order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from untorn_conformance.contract import CHAPTERS
from untorn_conformance.verdict import (
    MEANINGS,
    CaseResult,
    Outcome,
    RequirementResult,
    Verdict,
    from_json,
)

ATTENTION: Final = (
    Outcome.HARNESS_ERROR,
    Outcome.NOT_RUN,
    Outcome.FAIL,
    Outcome.UNKNOWN,
    Outcome.BLOCKED,
    Outcome.DEVIATION,
)
"""The outcomes that a reader must see with their reasons, in the order to look at them."""

_FIRST_PROVENANCE: Final = (
    "backend",
    "backend_version",
    "file_system",
    "kernel",
    "python",
    "untorn",
)
_UNITS: Final[Mapping[str, str]] = {
    "s": "s",
    "ms": "ms",
    "db": "dB",
    "bytes": "bytes",
    "mib": "MiB",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One requirement with its words, its result and the cases behind it."""

    chapter: str
    level: str
    text: str
    result: RequirementResult
    cases: tuple[CaseResult, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Chapter:
    """The rows of one chapter."""

    letter: str
    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Measurements that have the same columns; cells are ready to read."""

    columns: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """Everything that a report shows.

    ``provenance`` is pairs of name and text without the command. ``attention`` is what did not go
    well, worst first: outcome, requirement or case, reason. ``untested`` maps each reason to ids.
    """

    verdict: Verdict
    meaning: str
    total: int
    counts: Mapping[Outcome, int]
    chapters: tuple[Chapter, ...]
    attention: tuple[tuple[Outcome, str, str], ...]
    untested: Mapping[str, tuple[str, ...]]
    tables: tuple[Table, ...]
    provenance: tuple[tuple[str, str], ...]
    command: str


def view_of(document: Mapping[str, Any]) -> View:
    """Arrange a ``verdict.json``; raises ValueError when it is not one."""
    verdict = from_json(document)
    rows = tuple(_rows(verdict, document["contract"]["requirements"]))
    return View(
        verdict=verdict,
        meaning=MEANINGS[verdict.word],
        total=document["contract"]["total"],
        counts=_counts(verdict),
        chapters=tuple(_chapters(rows)),
        attention=tuple(_attention(verdict)),
        untested=_untested(verdict),
        tables=tuple(_tables(document["measurements"])),
        provenance=tuple(_provenance(document["provenance"])),
        command=document["provenance"]["command"],
    )


def _rows(verdict: Verdict, words: Mapping[str, Mapping[str, str]]) -> Iterator[Row]:
    for result in verdict.requirements:
        cases = tuple(case for case in verdict.cases if case.case in result.cases)
        yield Row(result=result, cases=cases, **words[result.id])


def _chapters(rows: Sequence[Row]) -> Iterator[Chapter]:
    for letter in dict.fromkeys(row.chapter for row in rows):
        own = tuple(row for row in rows if row.chapter == letter)
        yield Chapter(letter=letter, title=CHAPTERS.get(letter, ""), rows=own)


def _counts(verdict: Verdict) -> dict[Outcome, int]:
    found = Counter(row.outcome for row in verdict.requirements)
    return {outcome: found[outcome] for outcome in Outcome if outcome in found}


def _attention(verdict: Verdict) -> Iterator[tuple[Outcome, str, str]]:
    """Give the rows to look at; then the failed or missing cases that no such row speaks for."""
    for outcome in ATTENTION:
        rows = [row for row in verdict.requirements if row.outcome is outcome]
        yield from ((outcome, row.id, row.reason) for row in rows)
        told = {case for row in rows for case in row.cases}
        if outcome in (Outcome.HARNESS_ERROR, Outcome.NOT_RUN, Outcome.FAIL):
            for case in verdict.cases:
                if case.outcome is outcome and case.case not in told:
                    yield outcome, case.case, case.detail


def _untested(verdict: Verdict) -> dict[str, tuple[str, ...]]:
    rows = [row for row in verdict.requirements if row.outcome is Outcome.UNTESTED]
    reasons = dict.fromkeys(row.reason for row in rows)
    return {why: tuple(row.id for row in rows if row.reason == why) for why in reasons}


def _tables(measurements: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    """Put measurements with the same names of numbers into one table."""
    for names in dict.fromkeys(tuple(item["numbers"]) for item in measurements):
        own = [item for item in measurements if tuple(item["numbers"]) == names]
        yield Table(
            columns=("", *map(_column, names)),
            lines=tuple((item["name"], *map(_number, item["numbers"].values())) for item in own),
        )


def _column(name: str) -> str:
    """Write ``cold_s`` as ``cold (s)``: names carry their units."""
    words, _, unit = name.rpartition("_")
    if words and unit in _UNITS:
        return f"{words.replace('_', ' ')} ({_UNITS[unit]})"
    return name.replace("_", " ")


def _number(value: float | str) -> str:
    if isinstance(value, str | int):
        return str(value)
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.0f}"  # noqa: PLR2004 (no such precision)


def _provenance(provenance: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    order = [*_FIRST_PROVENANCE, *provenance]
    for name in dict.fromkeys(name for name in order if name in provenance):
        if name != "command":
            yield from _flat(name, provenance[name])


def _flat(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Write nested values as ``limits.reap_grace_s``, lists on one line."""
    if isinstance(value, Mapping):
        for inner, item in value.items():
            yield from _flat(f"{name}.{inner}", item)
    elif isinstance(value, Iterable) and not isinstance(value, str):
        yield name, ", ".join(map(str, value))
    elif value is not None:
        yield name, str(value)
