"""What a report shows of a verdict, before it has a form: grouped, counted, in reading order."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from untorn_conformance.contract import CHAPTERS
from untorn_conformance.errors import ProtocolError
from untorn_conformance.verdict import (
    MEANINGS,
    CaseResult,
    Outcome,
    RequirementResult,
    Verdict,
    from_json,
)
from untorn_conformance.wire import from_plain

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
    "directory",
    "file_system",
    "file_systems",
    "kernel",
    "python",
    "untorn",
    "contract",
    "seed",
)
_ACRONYMS: Final[Mapping[str, str]] = {"psnr": "PSNR", "ssim": "SSIM"}
_UNITS: Final[Mapping[str, str]] = {
    "s": "s",
    "ms": "ms",
    "db": "dB",
    "bytes": "bytes",
    "mib": "MiB",
}


Fact: TypeAlias = tuple[str, str]
"""A name and its text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """A requirement as it was worded when it was judged, and how it is judged."""

    chapter: str
    level: str
    needs: tuple[str, ...]
    text: str
    observed_by: str
    brought_about_by: str
    oracle: str
    depends_on: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One requirement with its words, its result and the cases behind it."""

    words: Words
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

    ``attention`` is what did not go well, worst first: outcome, requirement or case, reason.
    ``untested`` maps each reason to requirement ids. ``provenance`` is what is always worth seeing
    of it, ``more_provenance`` the rest, without the command.
    """

    verdict: Verdict
    meaning: str
    total: int
    counts: Mapping[Outcome, int]
    chapters: tuple[Chapter, ...]
    attention: tuple[tuple[Outcome, str, str], ...]
    untested: Mapping[str, tuple[str, ...]]
    tables: tuple[Table, ...]
    backend: str
    provenance: tuple[Fact, ...]
    more_provenance: tuple[Fact, ...]
    command: str


def view_of(document: Mapping[str, Any]) -> View:
    """Arrange a ``verdict.json``; raises ValueError when it is not one."""
    verdict = from_json(document)
    try:
        return _view(verdict, document)
    except (KeyError, TypeError, AttributeError, ProtocolError) as error:
        raise ValueError(f"not a verdict: {type(error).__name__} {error}") from error


def _view(verdict: Verdict, document: Mapping[str, Any]) -> View:
    provenance = document["provenance"]
    backend, (facts, more_facts) = provenance["backend"], _provenance(provenance)
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
        backend=backend if isinstance(backend, str) else backend["name"],
        provenance=facts,
        more_provenance=more_facts,
        command=command_line(provenance["command"]),
    )


def _rows(verdict: Verdict, words: Mapping[str, Any]) -> Iterator[Row]:
    for result in verdict.requirements:
        cases = tuple(case for case in verdict.cases if case.case in result.cases)
        own = from_plain(Words, words[result.id], where=f"contract.{result.id}")
        yield Row(words=own, result=result, cases=cases)


def _chapters(rows: Sequence[Row]) -> Iterator[Chapter]:
    for letter in dict.fromkeys(row.words.chapter for row in rows):
        own = tuple(row for row in rows if row.words.chapter == letter)
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
        elif outcome is Outcome.UNKNOWN:  # of a canary no row speaks
            for case in verdict.cases:
                if case.outcome is outcome and case.is_canary:
                    yield outcome, case.case, case.detail


def _untested(verdict: Verdict) -> dict[str, tuple[str, ...]]:
    rows = [row for row in verdict.requirements if row.outcome is Outcome.UNTESTED]
    reasons = dict.fromkeys(row.reason for row in rows)
    return {why: tuple(row.id for row in rows if row.reason == why) for why in reasons}


def _tables(measurements: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    """Put measurements with the same names of numbers into one table, in the order of names.

    The order of the results is that of the processes that came to their ends.
    """
    ordered = sorted(measurements, key=lambda item: str(item["name"]))
    for names in dict.fromkeys(tuple(item["numbers"]) for item in ordered):
        own = [item for item in ordered if tuple(item["numbers"]) == names]
        yield Table(
            columns=("", *map(_column, names)),
            lines=tuple((item["name"], *map(_number, item["numbers"].values())) for item in own),
        )


def _column(name: str) -> str:
    """Write ``cold_s`` as ``cold (s)``: names carry their units."""
    words, _, unit = name.rpartition("_")
    if not words or unit not in _UNITS:
        return name.replace("_", " ")
    words = _ACRONYMS.get(words, words.replace("_", " "))
    return f"{words} ({_UNITS[unit]})"


def _number(value: float | str) -> str:
    """Write three significant digits: no measurement here is more exact."""
    if isinstance(value, str | int):
        return str(value)
    return f"{value:#.3g}" if abs(value) < 99.5 else f"{value:.0f}"  # noqa: PLR2004 (three digits)


def _provenance(provenance: Mapping[str, Any]) -> tuple[tuple[Fact, ...], tuple[Fact, ...]]:
    """Flatten it, into what is always worth seeing and the rest; the command has its own place."""
    first = [name for name in _FIRST_PROVENANCE if name in provenance]
    rest = [name for name in provenance if name not in (*first, "command")]
    return (
        tuple(fact for name in first for fact in flat(name, provenance[name])),
        tuple(fact for name in rest for fact in flat(name, provenance[name])),
    )


def flat(name: str, value: object) -> Iterator[Fact]:
    """Write nested values as ``limits.reap grace s``, and a list of plain ones on one line."""
    name = name.replace("_", " ") if name.isidentifier() else name
    if isinstance(value, Mapping):
        for inner, item in value.items():
            yield from ((f"{name}.{below}", text) for below, text in flat(inner, item))
    elif not isinstance(value, Sequence) or isinstance(value, str):
        yield name, "none" if value is None else str(value)
    elif any(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value, start=1):
            yield from flat(f"{name} {number}", item)
    else:
        yield name, ", ".join(map(str, value))


def command_line(command: str | Sequence[str]) -> str:
    """Write a command as a shell takes it."""
    return command if isinstance(command, str) else shlex.join(command)
