"""A run as a sequence of lines: what each worker began, did and ended, and what was found there.

Rule 1: an operation begins where it was asked and ends where it was answered; one that took no step
        is one line.
Rule 2: a finding follows its step; one that shows only at the end follows everything.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from untorn_stress.contention import contended, failed, worker_of
from untorn_stress.run import Finding, Operation, Run, Step
from untorn_stress.wording import ELLIPSIS, answered, asked, named

ARROW: Final = " -> "
_FOLD_STEPS_MIN: Final = 4
_MARK: Final = "<== "


class Bar(StrEnum):
    """What stands at the left of a column."""

    NONE = " "
    BEGIN = "┌"
    WITHIN = "│"
    END = "└"
    AT_ONCE = "─"


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A line of the columns: what one worker did, and who else had an operation in flight.

    With ``finding`` the text hangs below its column, free of its width.
    """

    worker: str
    text: str
    flying: frozenset[str]
    bar: Bar = Bar.WITHIN
    result: str = ""
    step: Step | None = None
    contended: bool = False
    finding: bool = False

    @property
    def is_dull(self) -> bool:
        """Whether it is a step that nothing depends on, so that it may be folded."""
        step = self.step
        if step is None or self.contended or self.finding:
            return False
        return step.label == step.actor and not failed(step)


def rows(run: Run, say: Callable[[str], str]) -> Iterator[Row]:
    """The lines of the columns in order: operations and steps, each with its findings."""
    at_risk = contended(run)
    flying: dict[str, Operation] = {}
    for position in range(len(run.steps) + 1):
        for operation in _events(run, position):
            yield _event_row(operation, position, flying, say)
        if position < len(run.steps):
            step = run.steps[position]
            yield _step_row(step, position in at_risk, frozenset(flying), say)
            yield from _finding_rows(run, position, frozenset(flying), say)
    if not run.cut:
        for worker, operation in list(flying.items()):
            text = say(f"{named(operation)}{ARROW}{answered(operation)}")
            del flying[worker]
            yield Row(worker=worker, text=text, bar=Bar.END, flying=frozenset(flying))
    yield from _finding_rows(run, -1, frozenset(flying), say)


def _events(run: Run, position: int) -> list[Operation]:
    """The operations that begin or end before the step at this position, in their order.

    One that does both is there once: it took no step.
    """
    return [each for each in run.operations if position in (each.began, each.ended)]


def _event_row(
    operation: Operation, position: int, flying: dict[str, Operation], say: Callable[[str], str]
) -> Row:
    """One line for an operation that begins, ends or does both, noted in ``flying``."""
    text, bar = asked(operation), Bar.BEGIN
    if operation.ended == position:
        bar = Bar.AT_ONCE if operation.began == position else Bar.END
        text = f"{named(operation)}{ARROW}{answered(operation)}"
        flying.pop(operation.worker, None)
    else:
        flying[operation.worker] = operation
    return Row(worker=operation.worker, text=say(text), bar=bar, flying=frozenset(flying))


def _step_row(
    step: Step, is_contended: bool, flying: frozenset[str], say: Callable[[str], str]
) -> Row:
    worker = worker_of(step.actor)
    thread = step.actor.removeprefix(worker)
    call = f"{thread}:{step.call}" if thread else step.call
    fault = step.label.removeprefix(step.actor)
    return Row(
        worker=worker,
        text=say(f"{call} {step.detail}".rstrip()),
        result=say(f"{fault}{' ' if fault else ''}{step.result}"),
        bar=Bar.WITHIN if worker in flying else Bar.NONE,
        flying=flying,
        step=step,
        contended=is_contended,
    )


def _finding_rows(
    run: Run, number: int, flying: frozenset[str], say: Callable[[str], str]
) -> Iterator[Row]:
    for finding in run.findings:
        if finding.step == number:
            worker = worker_of(run.steps[number].actor) if number >= 0 else ""
            where = "" if number >= 0 else "at the end: "
            text = f"{_MARK}{where}{rule_of(finding)}: {finding.message}"
            yield Row(worker=worker, text=say(text), flying=flying, finding=True)


def folded(rows: Iterable[Row]) -> Iterator[Row]:
    """Put runs of dull steps of one worker into one line each."""
    for (worker, dull), group in itertools.groupby(rows, lambda row: (row.worker, row.is_dull)):
        run = list(group)
        steps = [row.step.number for row in run if row.step is not None]
        if not dull or len(run) < _FOLD_STEPS_MIN:
            yield from run
            continue
        text = f"{ELLIPSIS} steps {steps[0]} to {steps[-1]}, all its own"
        yield Row(worker=worker, text=text, bar=run[0].bar, flying=run[0].flying)


def rule_of(finding: Finding) -> str:
    """Name what a finding breaks: requirement and rule, or its kind where there is neither."""
    return f"{finding.requirement} {finding.rule}".strip() or finding.kind
