"""The verdict as a page of Markdown, short enough for the summary of a CI step."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from untorn_reports.drawing import Drawing
from untorn_reports.printable import printable
from untorn_reports.view import Table, View, view_of

_ACTIVE: Final = re.compile(r"([\\`*_\[\]{}()#+!|~$@-])")
"""What Markdown, or GitHub's form of it, may take for a mark or a mention."""

_REASON_CHARACTERS: Final = 300
_REASON_LINES: Final = 3
_ATTENTION_MAX: Final = 200
_REPLAYS_MAX: Final = 20


def render(document: Mapping[str, Any], drawings: Sequence[Drawing] = ()) -> str:
    """Render a ``verdict.json``; everything that is text stays text, long reasons are cut.

    Raises ValueError when the document is no verdict.
    """
    view = view_of(document)
    sections = (
        _head(view),
        _attention(view),
        _replays(drawings),
        _untested(view),
        _measurements(view),
        _again(view),
    )
    text = "\n".join(line for section in sections for line in section) + "\n"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _head(view: View) -> Iterator[str]:
    verdict = view.verdict
    yield f"## {_plain(verdict.word.value)}: {_plain(view.backend)}"
    yield ""
    yield f"**{_plain(verdict.profile)}**"
    yield ""
    yield _plain(view.meaning)
    yield ""
    counts = ", ".join(f"{count} {_plain(word.value)}" for word, count in view.counts.items())
    yield f"{len(verdict.requirements)} of {view.total} requirements: {counts}"


def _attention(view: View) -> Iterator[str]:
    if not view.attention:
        return
    yield from ("", "| | requirement or case | why |", "|---|---|---|")
    for word, name, reason in view.attention[:_ATTENTION_MAX]:
        yield f"| **{_plain(word.value)}** | {_plain(name)} | {_plain(_cut(reason))} |"
    if (left := len(view.attention) - _ATTENTION_MAX) > 0:
        yield from ("", f"{left} more are in the report.")


def _replays(drawings: Sequence[Drawing]) -> Iterator[str]:
    for drawing in drawings[:_REPLAYS_MAX]:
        yield ""
        rows = ", ".join(drawing.requirements)
        yield f"Counterexample {_plain(drawing.name)}" + (f" ({_plain(rows)})" if rows else "")
        yield ""
        yield from _code(drawing.replay or drawing.problem)
    if (left := len(drawings) - _REPLAYS_MAX) > 0:
        yield from ("", f"{left} more counterexamples are in the report.")


def _untested(view: View) -> Iterator[str]:
    if view.untested:
        yield from ("", "Untested, no passes:", "")
    for reason, names in view.untested.items():
        yield f"- **{_plain(' '.join(names))}** {_plain(_cut(reason))}"


def _measurements(view: View) -> Iterator[str]:
    for table in view.tables:
        yield ""
        yield from _table(table)


def _table(table: Table) -> Iterator[str]:
    yield _line(table.columns)
    yield _line(["---"] + ["--:"] * (len(table.columns) - 1), plain=False)
    for line in table.lines:
        yield _line(line)


def _line(cells: Sequence[str], *, plain: bool = True) -> str:
    return f"| {' | '.join(_plain(cell) if plain else cell for cell in cells)} |"


def _again(view: View) -> Iterator[str]:
    yield from ("", "Do it again:", "")
    yield from _code(view.command)


def _code(text: str) -> Iterator[str]:
    """An indented block: nothing within can end it, as long as it has no line of its own."""
    yield "    " + _one_line(text)


def _cut(text: str) -> str:
    """Keep the first lines: what is long is a failure with its drawing, and in the report."""
    lines = text.splitlines()
    first = _one_line(" ".join(lines[:_REASON_LINES]))
    if len(lines) <= _REASON_LINES and len(first) <= _REASON_CHARACTERS:
        return first
    return first[: _REASON_CHARACTERS - 1] + "…"


def _one_line(text: str) -> str:
    """Put lines beside each other; other control characters become escapes."""
    return printable(" ".join(text.split()))


def _plain(text: str) -> str:
    """Keep text from being taken for marks."""
    return _ACTIVE.sub(r"\\\1", html.escape(_one_line(text), quote=False))
