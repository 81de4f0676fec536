"""Rows for people: a table on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from untorn_conformance.bench.row import Row

_HEADINGS = ("what", "median", "p99", "floor or peer", "its median", "ratio", "goal", "")
_NUMERIC = (1, 2, 4, 5)
_TENTH = 0.1
_STYLES = {"met": "green", "missed": "bold red", "not measured": "yellow"}


def judgement(row: Row) -> str:
    """`met`, `missed` or `not measured`; empty where there is no goal to meet."""
    if row.met is None:
        return "not measured" if row.goal or row.median is None else ""
    return "met" if row.met else "missed"


def rich_table(rows: Sequence[Row]) -> Table:
    """The rows as a table for a terminal."""
    table = Table(pad_edge=False)
    for number, heading in enumerate(_HEADINGS):
        table.add_column(heading, justify="right" if number in _NUMERIC else "left")
    for row in rows:
        *cells, word = _cells(row)
        table.add_row(*map(Text, cells), Text(word, style=_STYLES.get(word, "")))
    return table


def plain_table(rows: Sequence[Row]) -> str:
    """The rows as aligned lines of plain text."""
    lines = [_HEADINGS, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in _NUMERIC else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def notes(rows: Sequence[Row]) -> list[str]:
    """What must be known to read a row, one line each."""
    return [f"{row.name}: {row.note}" for row in rows if row.note]


def summary(rows: Sequence[Row]) -> str:
    """How many goals were met, missed and not measured."""
    words = [judgement(row) for row in rows if row.goal]
    return ", ".join(f"{words.count(word)} {word}" for word in _STYLES) + " (goals)"


def machine_line(machine: Mapping[str, object]) -> str:
    """The machine in one line."""
    return (
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, {machine['fs']}, "
        f"Python {machine['python']}, load {machine['loadavg']} before, "
        f"{machine['loadavg_after']} after"
    )


def _cells(row: Row) -> tuple[str, ...]:
    unit = row.unit.value
    return (
        row.name,
        _number(row.median, unit),
        _number(row.p99, unit),
        row.floor_name,
        _number(row.floor_median, unit),
        _ratio(row.ratio),
        row.goal,
        judgement(row),
    )


def _number(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"  # noqa: PLR2004


def _ratio(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}x" if value >= _TENTH or value <= 0 else f"1/{1 / value:.0f}"
