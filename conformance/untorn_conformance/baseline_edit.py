"""What verdicts make of a baseline file: new failures go in, mended ones out, the rest stays.

Rule 1: what people wrote, comments too, stays as it is; entries go in at the end, and out with the
        comment above them.
Rule 2: nothing is excused that no run has seen fail.
Rule 3: an entry that covers cases of which some pass is replaced by one for each that still fails.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from untorn_conformance.baseline import (
    FAILS_NOW_AND_THEN,
    SCHEMA,
    Baseline,
    Deviation,
    Fault,
    Problem,
    covers,
    is_stale,
    parse,
    seen_in,
    stale_text,
)
from untorn_conformance.verdict import Outcome, Verdict, VerdictWord

_REASON_CHARACTERS: Final = 120
_HEADER: Final = re.compile(r"^\s*\[\[\s*(deviation|exclude)\s*\]\]", re.MULTILINE)
_ASIDE: Final = re.compile(r"(?:^[ \t]*(?:#.*)?\n)+\Z", re.MULTILINE)
"""Blank lines and comments at the end of a block: they belong to what follows."""

HEAD: Final = f"""\
# Known deviations: cases that may fail, each with a reason, an issue and a last day.
# untorn verify --baseline FILE reads it; untorn baseline check FILE says whether it is in order.
schema = "{SCHEMA}"
"""


class UneditableError(Exception):
    """A baseline is written in a form that cannot be edited; the message says what to do."""


@dataclass(kw_only=True, slots=True)
class Sight:
    """What runs have seen of a case: whether it passed, and its failure."""

    passed: bool = False
    failure: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """What is to be done: which deviations go (by number), what comes, and what is new of that."""

    dropped: tuple[int, ...]
    added: tuple[Deviation, ...]
    new: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.dropped or self.added)


def says_something(verdict: Verdict) -> bool:
    """Whether a baseline can learn from the run: what is wrong with it are stale entries alone."""
    wrong = (Outcome.HARNESS_ERROR, Outcome.NOT_RUN)
    broken = [case for case in verdict.cases if case.outcome in wrong]
    if verdict.word is not VerdictWord.INVALID:
        return True
    return bool(broken) and all(is_stale(case.detail) for case in broken)


def sights_of(verdicts: Iterable[Verdict]) -> dict[str, Sight]:
    """Bring together what the runs saw of each case that passed or failed in one of them.

    Of canaries no baseline speaks.
    """
    sights: dict[str, Sight] = {}
    for result in (case for verdict in verdicts for case in verdict.cases if not case.is_canary):
        passed = result.outcome is Outcome.PASS or is_stale(result.detail)
        failure = result.detail if result.outcome is Outcome.FAIL else None
        if result.outcome is Outcome.DEVIATION:
            failure = seen_in(result.detail)
        if passed or failure is not None:
            sight = sights.setdefault(result.case, Sight())
            sight.passed |= passed
            sight.failure = sight.failure if failure is None else failure
    return sights


def merge(
    baseline: Baseline,
    sights: Mapping[str, Sight],
    *,
    issue: str,
    until: date,
    reason: str | None,
) -> Merged:
    """Say what the sights make of a baseline.

    New entries get ``issue``, ``until`` and ``reason``, or the first line of the failure for one.
    """
    dropped, added = [], []
    for number, entry in enumerate(baseline.deviations):
        own = {case: sight for case, sight in sights.items() if covers(entry.case, case)}
        if not entry.is_intermittent and any(sight.passed for sight in own.values()):
            dropped.append(number)
            added += [
                _seen(replace(entry, case=case), sight)
                for case, sight in own.items()
                if sight.failure is not None
            ]
    new = []
    for case, sight in sights.items():
        is_known = baseline.deviation_of(case) or baseline.exclusion_of(case)
        if sight.failure is not None and not is_known:
            why = reason or _first_line(sight.failure)
            entry = Deviation(case=case, reason=why, issue=issue, until=until)
            added.append(_seen(entry, sight))
            new.append(case)
    return Merged(dropped=tuple(dropped), added=tuple(added), new=tuple(new))


def stale_in(baseline: Baseline, sights: Mapping[str, Sight]) -> Iterator[Problem]:
    """Name the entries whose cases passed."""
    for case, sight in sights.items():
        entry = baseline.deviation_of(case)
        if entry is not None and sight.passed and not entry.is_intermittent:
            yield Problem(fault=Fault.STALE, text=stale_text(case, entry).removeprefix("stale "))


def _seen(entry: Deviation, sight: Sight) -> Deviation:
    return replace(entry, expect=FAILS_NOW_AND_THEN) if sight.passed else entry


def _first_line(failure: str) -> str:
    line = next(filter(None, map(str.strip, failure.splitlines())), "it fails")
    return line if len(line) <= _REASON_CHARACTERS else line[: _REASON_CHARACTERS - 3] + "..."


# --- the text ------------------------------------------------------------------------------------


def edited(text: str, merged: Merged, *, name: str) -> str:
    """Return the text of a baseline file, ``name``, with what is merged.

    Raises UneditableError where entries are no blocks that begin with [[deviation]], and
    BaselineError for a text that is no baseline.
    """
    before = parse(text, name=name) if text else Baseline(name=name)
    head, blocks = _split(text or HEAD)
    kinds = [_kind(block) for block in blocks]
    if kinds.count("deviation") != len(before.deviations):
        raise UneditableError(f"{name}: write each entry as a block that begins with [[deviation]]")
    places = [place for place, kind in enumerate(kinds) if kind == "deviation"]
    gone = {places[number] for number in merged.dropped}
    kept = [block for place, block in enumerate(blocks) if place not in gone]
    joined = "".join([head, *kept])
    after = joined.rstrip("\n") + "\n" + "".join("\n" + _block(each) for each in merged.added)
    _check(before, merged, parse(after, name=name))
    return after


def _check(before: Baseline, merged: Merged, after: Baseline) -> None:
    left = [each for n, each in enumerate(before.deviations) if n not in merged.dropped]
    assert after.deviations == (*left, *merged.added), "an entry was lost, or is another one"
    assert after.exclusions == before.exclusions, "an exclusion was lost"


def _split(text: str) -> tuple[str, list[str]]:
    """Cut at the headers of entries; comments above a header are a part of what it begins."""
    starts = [_start(text, match.start()) for match in _HEADER.finditer(text)]
    cuts = [*starts, len(text)]
    return text[: cuts[0]], [text[start:end] for start, end in itertools.pairwise(cuts)]


def _start(text: str, header: int) -> int:
    aside = _ASIDE.search(text, 0, header)
    return aside.start() if aside else header


def _kind(block: str) -> str:
    match = _HEADER.search(block)
    assert match is not None
    return match.group(1)


def _block(entry: Deviation) -> str:
    lines = [
        "[[deviation]]",
        f"case = {quoted(entry.case)}",
        f"reason = {quoted(entry.reason)}",
        f"issue = {quoted(entry.issue)}",
        f"until = {entry.until}",
        *(['expect = ["PASS", "FAIL"]'] if entry.is_intermittent else []),
    ]
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """Write a basic string of TOML 1.0; lone surrogates, which it has no word for, become '?'."""
    plain = text.encode("utf-8", "replace").decode("utf-8")
    return '"' + "".join(map(_escaped, plain)) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    return f"\\u{ord(char):04x}" if ord(char) < ord(" ") or char == "\x7f" else char


def listed(entries: Sequence[Deviation], numbers: Collection[int]) -> list[str]:
    """The patterns of the entries with these numbers."""
    return [entry.case for number, entry in enumerate(entries) if number in numbers]
