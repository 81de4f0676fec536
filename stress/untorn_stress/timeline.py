"""A run as people read it: the interleaving in columns, one a worker, with findings at their steps.

Rule 1: time goes down, one step a line; a column's bar lasts as long as its worker's operation.
Rule 2: a line is never wrapped, but clipped with an ellipsis: a path at its start, since its end
        tells more. Only findings below the columns, and the replay line, are whole.
Rule 3: the last line is the one that replays the run.
Rule 4: the text holds no control character but newlines and, when asked for, colours.

Sources: Porcupine (bars of what is in flight), frontrun (who did what, then what is wrong).
"""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from untorn_stress import run_json
from untorn_stress.contention import failed
from untorn_stress.interleaving import ARROW, Bar, Row, folded, rows, rule_of
from untorn_stress.run import Run
from untorn_stress.token import schedule_text
from untorn_stress.wording import ELLIPSIS, answered, asked, printable, shortening

SCHEMA: Final = "untorn/run/1"
WIDTH: Final = 100

_COLUMN_MIN: Final = 12
_FINDING_MIN: Final = 44
_GAP: Final = 2
_CONTENDED: Final = "*"
_FLAGS: Final = re.compile(r"( [A-Z_|]+)+$")
_LEGEND: Final = f"{_CONTENDED} another worker touches this path too, and one of the two changes it"


class _Style(StrEnum):
    """An ANSI escape (ECMA-48, SGR) that starts a style."""

    PLAIN = ""
    FAINT = "\x1b[2m"
    BOLD = "\x1b[1m"
    YELLOW = "\x1b[33m"
    RED = "\x1b[1;31m"


_RESET: Final = "\x1b[0m"


def render(
    run: Run, *, replay: str = "", width: int = WIDTH, color: bool = False, fold: bool = False
) -> str:
    """Draw the run, without a newline at the end.

    ``replay`` is the command that makes the run again (see ``counterexample.replay_line``). With
    ``fold`` four or more steps in a row that nothing depends on become one line.
    """
    short = shortening(_texts(run))
    lines = rows(run, lambda text: short(printable(text)))
    page = _Page(run=run, rows=list(folded(lines) if fold else lines), width=width, color=color)
    text = [*page.header(), "", *page.columns(), "", *page.conclusion()]
    return "\n".join([*text, *([page.paint(replay, _Style.BOLD)] if replay else [])])


def to_json(run: Run) -> dict[str, run_json.Json]:
    """Return the run as one JSON object, for ``--json``."""
    return {"schema": SCHEMA, **run_json.to_json(run)}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Page:
    """Rows laid out in a width, with what stands above and below them."""

    run: Run
    rows: Sequence[Row]
    width: int
    color: bool

    def paint(self, text: str, style: _Style) -> str:
        return f"{style}{text}{_RESET}" if self.color and style and text.strip() else text

    def workers(self) -> list[str]:
        return sorted({row.worker for row in self.rows} - {""})

    def header(self) -> Iterator[str]:
        run = self.run
        title = f"{run.scenario} from tree {run.tree}, seed {run.seed}"
        yield self.paint(_clipped(printable(title), self.width), _Style.BOLD)
        plural = "" if len(run.steps) == 1 else "s"
        schedule = f"{len(run.steps)} step{plural}: {schedule_text(run.choices)}"
        yield _clipped(printable(schedule), self.width)
        short = shortening(_texts(run))
        for worker in self.workers():
            does = [asked(each) for each in run.operations if each.worker == worker]
            if does:
                yield _clipped(f"  {worker}  {short(printable(', '.join(does)))}", self.width)
        if any(row.contended for row in self.rows):
            yield self.paint(_clipped(f"  {_LEGEND}", self.width), _Style.FAINT)

    def columns(self) -> Iterator[str]:
        """The titles, a rule and the rows."""
        gutter = max(len(str(len(self.run.steps))), len("step")) + _GAP
        widths = self._widths(gutter)
        titles = [f"{worker:<{widths[worker]}}" for worker in widths]
        yield self.paint((f"{'step':<{gutter}}" + (" " * _GAP).join(titles)).rstrip(), _Style.BOLD)
        yield self.paint(
            "─" * (gutter - _GAP) + "".join("  " + "─" * width for width in widths.values()),
            _Style.FAINT,
        )
        for row in self.rows:
            yield (
                self._hanging(row, gutter, widths)
                if row.finding
                else self._line(row, gutter, widths)
            )
        if self.run.cut:
            yield f"{'':<{gutter}}{ELLIPSIS} cut here: the rest is explored elsewhere"

    def conclusion(self) -> Iterator[str]:
        """Every finding in full, and what the gate could not see."""
        for finding in self.run.findings:
            where = f"at step {finding.step}" if finding.step >= 0 else "at the end"
            head = f"{finding.kind} of {rule_of(finding)}, {where}: "
            if rule_of(finding) == finding.kind:
                head = f"{finding.kind}, {where}: "
            for line in _wrapped(head + printable(finding.message), self.width):
                yield self.paint(line, _Style.RED)
        if not self.run.findings:
            yield "no finding"
        for what in self.run.unobserved:
            yield from _wrapped(f"not observed: {printable(what)}", self.width)

    def _widths(self, gutter: int) -> dict[str, int]:
        """As wide as each column needs, or as the page allows."""
        workers = self.workers()
        needed = dict.fromkeys(workers, 1)
        for row in self.rows:
            if not row.finding:
                result = _GAP + len(row.result) if row.result else 0
                needed[row.worker] = max(needed[row.worker], 2 + len(row.text) + result)
        room = self.width - gutter - _GAP * (len(workers) - 1)
        shares = _shares(list(needed.values()), room, least=_COLUMN_MIN)
        return dict(zip(needed, shares, strict=True))

    def _line(self, row: Row, gutter: int, widths: dict[str, int]) -> str:
        number = "" if row.step is None else str(row.step.number)
        cells = [self.paint(f"{number:>{gutter - _GAP}}", _Style.FAINT)]
        for worker, width in widths.items():
            bar = Bar.WITHIN if worker in row.flying else Bar.NONE
            other = self.paint(bar, _Style.FAINT) + " " * (width - 1)
            cells.append(self._cell(row, width) if worker == row.worker else other)
        return (" " * _GAP).join(cells).rstrip()

    def _cell(self, row: Row, width: int) -> str:
        result = _clipped(row.result, width // 2)
        room = width - 2 - (len(result) + _GAP if result else 0)
        clip = _clipped if row.step is None else _clipped_call
        text = f"{clip(row.text, room):<{room}}"
        style = _Style.BOLD if row.step is None else _Style.PLAIN
        if row.contended:
            style = _Style.YELLOW
        bad = row.step is not None and (failed(row.step) or row.step.label != row.step.actor)
        return (
            self.paint(row.bar, _Style.FAINT)
            + self.paint(_CONTENDED if row.contended else " ", style)
            + self.paint(text, style)
            + (" " * _GAP + self.paint(result, _Style.RED if bad else _Style.FAINT)) * bool(result)
        )

    def _hanging(self, row: Row, gutter: int, widths: dict[str, int]) -> str:
        """A finding below its step, moved left where the page is too narrow to say what it is."""
        before = list(itertools.takewhile(lambda worker: worker != row.worker, widths))
        before = before if row.worker else []
        column = gutter + sum(widths[worker] + _GAP for worker in before)
        start = min(column, max(gutter, self.width - _FINDING_MIN))
        bars = [Bar.WITHIN if worker in row.flying else Bar.NONE for worker in before]
        cells = zip(before, bars, strict=True)
        left = " " * gutter + "".join(f"{bar:<{widths[worker] + _GAP}}" for worker, bar in cells)
        text = _clipped(row.text, self.width - start)
        return self.paint(left[:start], _Style.FAINT) + self.paint(text, _Style.RED)


def _shares(needed: Sequence[int], room: int, *, least: int) -> list[int]:
    """Give each what it needs; where that is too much, the large ones get equal shares."""
    given = dict.fromkeys(range(len(needed)), 0)
    left = room
    for place, index in enumerate(sorted(given, key=lambda index: needed[index])):
        given[index] = min(needed[index], max(least, left // (len(needed) - place)))
        left -= given[index]
    return list(given.values())


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, _COLUMN_MIN), subsequent_indent="  ")


def _clipped(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + ELLIPSIS


def _clipped_call(text: str, width: int) -> str:
    """Clip a call: its name stays, flags go, and of each path the end is kept."""
    if len(text) <= width:
        return text
    call, _, detail = text.partition(" ")
    sides = [_FLAGS.sub("", side) for side in detail.split(ARROW)]
    room = width - len(call) - 1 - len(ARROW) * (len(sides) - 1)
    shares = _shares([len(side) for side in sides], room, least=0)
    if min(shares) == 0:
        return _clipped(text, width)
    return f"{call} {ARROW.join(map(_clipped_start, sides, shares))}"


def _clipped_start(text: str, width: int) -> str:
    return text if len(text) <= width else ELLIPSIS + text[len(text) - width + 1 :]


def _texts(run: Run) -> Iterator[str]:
    """Everything in a run that may hold a long name."""
    for step in run.steps:
        yield step.detail
    for operation in run.operations:
        yield f"{asked(operation)} {answered(operation)}"
