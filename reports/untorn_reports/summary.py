"""The plain text at the end of a run: the verdict first, then what a reader should look at."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from untorn_conformance.verdict import Outcome

from untorn_reports.printable import printable
from untorn_reports.view import Table, View, view_of

_REASON_LINES: Final = 12
"""Lines of a reason that are worth a terminal; the report has the rest."""


def text(document: Mapping[str, Any], *, width: int = 100) -> str:
    """Summarise a ``verdict.json`` in lines of at most ``width`` columns where words allow it.

    Control characters and lone surrogates are shown escaped, so that nothing a backend says can
    move the cursor or keep the text from being encoded. Raises ValueError for another document.
    """
    view = view_of(document)
    sections = (
        _head(view, width),
        _measurements(view),
        _attention(view, width),
        _untested(view, width),
        _reproduce(view),
    )
    lines = [line for section in sections for line in section]
    return "\n".join(printable(line).rstrip() for line in lines) + "\n"


def _head(view: View, width: int) -> Iterator[str]:
    yield f"verdict: {view.verdict.word.value}   profile: {view.verdict.profile}"
    yield from textwrap.wrap(view.meaning, width)
    rows = len(view.verdict.requirements)
    of_all = "" if rows == view.total else f" of {view.total}, the others not selected"
    yield from textwrap.wrap(f"{rows} requirements{of_all}: {_counted(view.counts)}", width)
    cases = Counter(case.outcome for case in view.verdict.cases if not case.is_canary)
    if cases:
        number = cases.total()
        noun = "case" if number == 1 else "cases"
        yield from textwrap.wrap(f"{number} {noun}: {_counted(cases)}", width)
    canaries = Counter(case.outcome for case in view.verdict.cases if case.is_canary)
    if canaries:
        told = f"{canaries[Outcome.PASS]} of {canaries.total()} broken caches found out"
        yield f"canaries: {told}"


def _counted(counts: Mapping[Outcome, int]) -> str:
    return ", ".join(f"{counts[each]} {each}" for each in Outcome if counts.get(each))


def _measurements(view: View) -> Iterator[str]:
    for table in view.tables:
        yield ""
        yield from _aligned(table)


def _aligned(table: Table) -> Iterator[str]:
    lines = (table.columns, *table.lines)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for name, *numbers in lines:
        cells = [cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True)]
        yield "  ".join(["  " + name.ljust(widths[0]), *cells])


def _attention(view: View, width: int) -> Iterator[str]:
    if view.attention:
        yield ""
    for outcome, name, reason in view.attention:
        yield from _entry(f"{outcome} {name}", reason, width)


def _entry(head: str, body: str, width: int) -> Iterator[str]:
    """Put a short body beside its head, and a long one below it, indented and cut."""
    wrapped = [part for line in body.splitlines() for part in _wrapped(line, width - 4)]
    if len(wrapped) == 1 and len(head) + len(wrapped[0]) + 2 <= width:
        yield f"{head}: {wrapped[0]}"
        return
    yield f"{head}:"
    yield from (f"    {line}" for line in wrapped[:_REASON_LINES])
    if len(wrapped) > _REASON_LINES:
        yield f"    ({len(wrapped) - _REASON_LINES} more lines are in the report)"


def _wrapped(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)


def _untested(view: View, width: int) -> Iterator[str]:
    if view.untested:
        yield ""
        yield "untested:"
    for reason, names in view.untested.items():
        yield from textwrap.wrap(
            f"{' '.join(names)}: {reason}",
            width,
            initial_indent="  ",
            subsequent_indent="    ",
            break_on_hyphens=False,
        )


def _reproduce(view: View) -> Iterator[str]:
    yield ""
    yield f"reproduce: {view.command}"
