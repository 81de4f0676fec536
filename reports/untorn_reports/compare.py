"""Several verdicts side by side: a matrix of requirement and backend, as text, page and values.

Rule 1: what a run did not judge has a word of its own; an empty cell could be taken for a pass.
Rule 2: rows are in the order of the contract, columns in that of the runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from untorn_conformance.contract import REQUIREMENTS
from untorn_conformance.verdict import Outcome, RequirementResult

from untorn_reports.printable import printable
from untorn_reports.render import page_of
from untorn_reports.view import View, Words, view_of

SCHEMA: Final = "untorn/comparison/1"
NOT_JUDGED: Final = "not judged"
_TEMPLATE: Final = "compare.html.j2"
_NAME_CHARACTERS: Final = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One run: where its verdict is, the backend, its version or "", and its verdict."""

    run: str
    backend: str
    version: str
    word: str
    profile: str
    contract: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """What a run says of a requirement; without an outcome it did not judge it."""

    outcome: Outcome | None = None
    reason: str = ""

    @property
    def word(self) -> str:
        """What is shown."""
        return NOT_JUDGED if self.outcome is None else self.outcome.value


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One requirement and what each run says of it."""

    id: str
    text: str
    cells: tuple[Cell, ...]

    @property
    def differs(self) -> bool:
        """Whether two runs say something else."""
        return len({cell.word for cell in self.cells}) > 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """The matrix; each line has a cell for each column."""

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]


def compare(runs: Sequence[tuple[str, Mapping[str, Any]]]) -> Comparison:
    """Bring runs together: where each is and its ``verdict.json``.

    Raises ValueError where one is no verdict.
    """
    views = [view_of(document) for _, document in runs]
    words: dict[str, Words] = {}
    for view in views:
        for chapter in view.chapters:
            words.update({row.result.id: row.words for row in chapter.rows})
    order = list(REQUIREMENTS)
    ids = sorted(words, key=lambda name: order.index(name) if name in order else len(order))
    results = [{row.id: row for row in view.verdict.requirements} for view in views]
    return Comparison(
        columns=tuple(
            _column(run, document, view) for (run, document), view in zip(runs, views, strict=True)
        ),
        lines=tuple(
            Line(
                id=name,
                text=words[name].text,
                cells=tuple(_cell(own.get(name)) for own in results),
            )
            for name in ids
        ),
    )


def _column(run: str, document: Mapping[str, Any], view: View) -> Column:
    return Column(
        run=run,
        backend=view.backend,
        version=str(document["provenance"].get("backend_version", "")),
        word=view.verdict.word.value,
        profile=view.verdict.profile,
        contract=str(document["contract"]["version"]),
    )


def _cell(result: RequirementResult | None) -> Cell:
    return Cell() if result is None else Cell(outcome=result.outcome, reason=result.reason)


# --- as text, page and values --------------------------------------------------------------------


def text(comparison: Comparison) -> str:
    """The matrix in columns; control characters are shown escaped."""
    lines = [*_legend(comparison), "", *_matrix(comparison)]
    differing = [line.id for line in comparison.lines if line.differs]
    if len(comparison.columns) > 1:
        lines += ["", f"they differ in: {' '.join(differing) or 'nothing'}"]
    return "\n".join(printable(line).rstrip() for line in lines) + "\n"


def _legend(comparison: Comparison) -> Iterator[str]:
    for number, column in enumerate(comparison.columns, start=1):
        yield f"{number}  {column.backend} {column.version}: {column.word}".rstrip()
        yield f"   {column.profile}"
        yield f"   {column.run}"
    if len({column.contract for column in comparison.columns}) > 1:
        told = ", ".join(column.contract for column in comparison.columns)
        yield f"judged by different versions of the contract: {told}"


def _matrix(comparison: Comparison) -> Iterator[str]:
    columns = enumerate(comparison.columns, start=1)
    heads = [f"{number} {column.backend}"[:_NAME_CHARACTERS] for number, column in columns]
    table = [["", *heads], ["verdict", *(column.word for column in comparison.columns)]]
    table += [[line.id, *(cell.word for cell in line.cells)] for line in comparison.lines]
    widths = [max(len(printable(cell)) for cell in column) for column in zip(*table, strict=True)]
    for row in table:
        cells = zip(row, widths, strict=True)
        yield "  ".join(printable(cell).ljust(width) for cell, width in cells)


def render(comparison: Comparison) -> str:
    """The matrix as a page of HTML that needs nothing but itself."""
    return page_of(_TEMPLATE, comparison=comparison)


def to_json(comparison: Comparison) -> dict[str, Any]:
    """The matrix as one JSON object."""
    return {
        "schema": SCHEMA,
        "runs": [
            {
                "run": column.run,
                "backend": column.backend,
                "version": column.version,
                "word": column.word,
                "profile": column.profile,
                "contract": column.contract,
            }
            for column in comparison.columns
        ],
        "requirements": [
            {
                "id": line.id,
                "text": line.text,
                "differs": line.differs,
                "cells": [
                    {"outcome": cell.outcome and cell.outcome.value, "reason": cell.reason}
                    for cell in line.cells
                ],
            }
            for line in comparison.lines
        ],
    }
