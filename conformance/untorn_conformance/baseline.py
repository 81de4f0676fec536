"""Known deviations: what an adopter's baseline file says of the promises that a cache breaks.

    schema = "untorn/baseline/1"

    [[deviation]]                      # the case runs; its failure becomes DEVIATION, never PASS
    case = "G2.ends_within_the_budget" # a case's id; * and ? stand for any text, any character
    reason = "the budget counts links, not bytes"
    issue = "https://example.org/issues/12"
    until = 2027-03-01                 # the last day (UTC) on which it may still fail
    expect = ["PASS", "FAIL"]          # optional: fails now and then; left out: "FAIL", always

    [[exclude]]                        # the case does not run: the verdict is at most partial
    case = "E2.*"
    reason = "the build machine has no user namespaces"

Rule 1: an entry says why, where it is tracked and until when; one that is over is an error.
Rule 2: each entry covers a case, and no case is covered twice.
Rule 3: an entry whose case passes is stale, and its run gives no verdict, so that nothing stays
        excused that was mended. One that also expects PASS is stale when the pass is EXHAUSTIVE.
Rule 4: only FAIL is excused: what is UNKNOWN, did not run or broke the harness stays what it is.
"""

from __future__ import annotations

import fnmatch
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from untorn_conformance.verdict import Outcome

SCHEMA: Final = "untorn/baseline/1"
FAILS: Final = frozenset({Outcome.FAIL})
FAILS_NOW_AND_THEN: Final = frozenset({Outcome.PASS, Outcome.FAIL})

_STALE: Final = "stale baseline entry "
_SEEN: Final = "\nseen: "
_NOT_SEEN: Final = "\nnot seen this time"


class Fault(StrEnum):
    """What is wrong with a baseline file, in one word."""

    UNREADABLE = "unreadable"
    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown-key"
    INCOMPLETE = "incomplete"
    EXPIRED = "expired"
    UNMATCHED = "unmatched"
    COVERED_TWICE = "covered-twice"
    STALE = "stale"


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing that is wrong with a baseline, and what to do about it."""

    fault: Fault
    text: str

    def __str__(self) -> str:
        return f"{self.fault}: {self.text}"


class BaselineError(Exception):
    """A baseline that no verdict can rest on; the message names the file and its first problem."""

    def __init__(self, name: str, problems: Sequence[Problem]) -> None:
        assert problems, "an error without a problem"
        more = len(problems) - 1
        also = f" ({more} more: untorn baseline check {name})" if more else ""
        super().__init__(f"{name}: {problems[0]}{also}")
        self.problems = tuple(problems)


@dataclass(frozen=True, kw_only=True, slots=True)
class Deviation:
    """Cases that are known to fail; ``expect`` is what may come of them."""

    case: str
    reason: str
    issue: str
    until: date
    expect: frozenset[Outcome] = FAILS

    @property
    def is_intermittent(self) -> bool:
        """Whether the cases may pass, too."""
        return Outcome.PASS in self.expect


@dataclass(frozen=True, kw_only=True, slots=True)
class Exclusion:
    """Cases that are not run; ``issue`` and ``until`` are optional."""

    case: str
    reason: str
    issue: str = ""
    until: date | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """What a file says; ``name`` is how it was given. Without a file there is nothing in it."""

    name: str = ""
    deviations: tuple[Deviation, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()

    @property
    def entries(self) -> tuple[Deviation | Exclusion, ...]:
        """All of them."""
        return (*self.deviations, *self.exclusions)

    def deviation_of(self, case: str) -> Deviation | None:
        """The entry that says how this case is known to fail."""
        return next((each for each in self.deviations if covers(each.case, case)), None)

    def exclusion_of(self, case: str) -> Exclusion | None:
        """The entry that says why this case is not run."""
        return next((each for each in self.exclusions if covers(each.case, case)), None)

    def check_cases(self, cases: Iterable[str]) -> None:
        """Raise BaselineError unless each entry covers one of these cases, and none twice."""
        problems = [*_uncovered(self, known := sorted(set(cases))), *_covered_twice(self, known)]
        if problems:
            raise BaselineError(self.name, problems)


def covers(pattern: str, case: str) -> bool:
    """Whether a pattern is meant for the case; brackets belong to a case's name."""
    return fnmatch.fnmatchcase(case, pattern.replace("[", "[[]"))


def stale_text(case: str, entry: Deviation) -> str:
    """What becomes of a case that passes though its entry says that it fails."""
    told = f"{entry.case!r}" + ("" if entry.case == case else f" (for {case})")
    return (
        f"{_STALE}{told}: the case passes now; remove the entry, narrow it to what still fails, or "
        "run untorn baseline update RUN --file FILE"
    )


def deviation_text(entry: Deviation, seen: str | None) -> str:
    """The detail of a known deviation; ``seen`` is the failure, None where there was none."""
    told = f"known until {entry.until}: {entry.reason} ({entry.issue})"
    return told + (_NOT_SEEN if seen is None else _SEEN + seen)


def seen_in(detail: str) -> str | None:
    """The failure in the detail of a deviation, or None: ``deviation_text`` backwards."""
    return None if detail.endswith(_NOT_SEEN) else detail.partition(_SEEN)[2]


def is_stale(detail: str) -> bool:
    """Whether the detail of a case's result tells of a stale entry."""
    return detail.startswith(_STALE)


# --- reading -------------------------------------------------------------------------------------


def today_utc() -> date:
    """The day by which entries end."""
    return datetime.now(UTC).date()


def read(path: Path, *, today: date | None) -> Baseline:
    """Read a baseline file; ``today`` is None where expired entries are welcome.

    Raises BaselineError.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        problem = Problem(fault=Fault.UNREADABLE, text=f"{error.strerror}; name a file that exists")
        raise BaselineError(str(path), [problem]) from error
    except UnicodeDecodeError as error:
        problem = Problem(fault=Fault.MALFORMED, text="it is not UTF-8; save it as such")
        raise BaselineError(str(path), [problem]) from error
    return parse(text, name=str(path), today=today)


def parse(text: str, *, name: str, today: date | None = None) -> Baseline:
    """Read the text of a baseline file, called ``name`` in errors. Raises BaselineError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        problem = Problem(fault=Fault.MALFORMED, text=f"it is not TOML: {error}")
        raise BaselineError(name, [problem]) from error
    problems = [*_of_document(document)]
    if not problems:
        deviations, exclusions = document.get("deviation", []), document.get("exclude", [])
        problems += _of_entries("deviation", deviations, _DEVIATION)
        problems += _of_entries("exclude", exclusions, _EXCLUSION)
    if problems:
        raise BaselineError(name, problems)
    baseline = Baseline(
        name=name,
        deviations=tuple(map(_deviation, deviations)),
        exclusions=tuple(Exclusion(**each) for each in exclusions),
    )
    if today is not None and (expired := list(_expired(baseline, today))):
        raise BaselineError(name, expired)
    return baseline


@dataclass(frozen=True, kw_only=True, slots=True)
class _Keys:
    required: tuple[str, ...]
    optional: tuple[str, ...]


_DEVIATION: Final = _Keys(required=("case", "reason", "issue", "until"), optional=("expect",))
_EXCLUSION: Final = _Keys(required=("case", "reason"), optional=("issue", "until"))
_WORDS: Final[Mapping[str, str]] = {
    "case": 'case = "P1.some_case"',
    "reason": 'reason = "why it fails"',
    "issue": 'issue = "where it is tracked"',
    "until": "until = 2027-03-01, a date without quotes",
}


def _of_document(document: Mapping[str, Any]) -> Iterator[Problem]:
    schema = document.get("schema")
    if schema != SCHEMA:
        told = "it has no schema" if schema is None else f"its schema is {schema!r}"
        text = f'{told}, and this untorn reads {SCHEMA}; write schema = "{SCHEMA}" at its top'
        yield Problem(fault=Fault.MALFORMED, text=text)
    for key in sorted(document.keys() - {"schema", "deviation", "exclude"}):
        text = f"{key!r} is not known; there are schema, [[deviation]] and [[exclude]]"
        yield Problem(fault=Fault.UNKNOWN_KEY, text=text)
    for kind in ("deviation", "exclude"):
        entries = document.get(kind, [])
        if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
            text = f"{kind} is no list of tables; begin each with [[{kind}]]"
            yield Problem(fault=Fault.MALFORMED, text=text)


def _of_entries(kind: str, entries: Sequence[Mapping[str, Any]], keys: _Keys) -> Iterator[Problem]:
    known = (*keys.required, *keys.optional)
    for number, entry in enumerate(entries, start=1):
        where = f"[[{kind}]] {number}"
        if entry.get("case"):
            where += f" ({entry['case']})"
        for key in sorted(entry.keys() - set(known)):
            text = f"{where} has {key!r}, which is not known; there are {', '.join(known)}"
            yield Problem(fault=Fault.UNKNOWN_KEY, text=text)
        for key in keys.required:
            if entry.get(key, "") == "":
                text = f"{where} has no {key}; write {_WORDS[key]}"
                yield Problem(fault=Fault.INCOMPLETE, text=text)
        yield from _of_values(where, entry)


def _of_values(where: str, entry: Mapping[str, Any]) -> Iterator[Problem]:
    for key in ("case", "reason", "issue"):
        if not isinstance(entry.get(key, ""), str):
            text = f"{where}: {key} is no text; write {_WORDS[key]}"
            yield Problem(fault=Fault.MALFORMED, text=text)
    until = entry.get("until", date.max)
    if until != "" and (not isinstance(until, date) or isinstance(until, datetime)):
        text = f"{where}: until is no date; write {_WORDS['until']}"
        yield Problem(fault=Fault.MALFORMED, text=text)
    if "expect" in entry and _expected(entry["expect"]) not in (FAILS, FAILS_NOW_AND_THEN):
        text = f'{where}: expect is neither "FAIL" nor ["PASS", "FAIL"]; write one of them'
        yield Problem(fault=Fault.MALFORMED, text=text)


def _expected(value: object) -> frozenset[object]:
    if isinstance(value, list):
        return frozenset(each for each in value if isinstance(each, str))
    return frozenset({value}) if isinstance(value, str) else frozenset()


def _deviation(entry: Mapping[str, Any]) -> Deviation:
    expect = frozenset(Outcome(str(each)) for each in _expected(entry.get("expect", "FAIL")))
    return Deviation(**{**entry, "expect": expect})


# --- checking ------------------------------------------------------------------------------------


def _expired(baseline: Baseline, today: date) -> Iterator[Problem]:
    for each in baseline.entries:
        if each.until is not None and each.until < today:
            text = (
                f"the entry for {each.case} ended on {each.until}; "
                f"remove it, or look again{_at(each.issue)} and give it a later date"
            )
            yield Problem(fault=Fault.EXPIRED, text=text)


def _at(issue: str) -> str:
    return f" ({issue})" if issue else ""


def _uncovered(baseline: Baseline, cases: Sequence[str]) -> Iterator[Problem]:
    for each in baseline.entries:
        if not any(covers(each.case, case) for case in cases):
            text = (
                f"no case is called {each.case}; remove the entry or correct it (untorn list cases)"
            )
            yield Problem(fault=Fault.UNMATCHED, text=text)


def _covered_twice(baseline: Baseline, cases: Sequence[str]) -> Iterator[Problem]:
    entries = baseline.entries
    told: set[tuple[int, ...]] = set()
    for case in cases:
        numbers = tuple(n for n, each in enumerate(entries) if covers(each.case, case))
        if len(numbers) > 1 and numbers not in told:
            told.add(numbers)
            names = " and ".join(repr(entries[n].case) for n in numbers)
            text = f"{case} is covered by {names}; leave one, or narrow them"
            yield Problem(fault=Fault.COVERED_TWICE, text=text)
