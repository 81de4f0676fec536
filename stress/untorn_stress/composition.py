"""Scenarios that are no part of the catalogue: composed of tasks, under a name that tells them all.

    machine-wk-rk_c     worker A writes key k; worker B reads it, then collects

Rule 1: a name and a composition are two forms of one value: a token that holds the name replays
        with nothing else at hand.
Rule 2: a worker takes its tasks up in turn; all of them run from any tree, natural or harvested.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from untorn_stress.payloads import LABELS, Payloads
from untorn_stress.programs import collector, reader, writer
from untorn_stress.scenario import Ask, Program, Scenario
from untorn_stress.scenarios import scenario

PREFIX: Final = "machine-"
WORKERS_MAX: Final = 3
TASKS_MAX: Final = 4
"""Of one worker; a name has to fit into a token."""

_LETTERS: Final = "ABC"
_WORKERS: Final = "-"
_TASKS: Final = "_"


class TaskKind(StrEnum):
    """What a task does: stage and publish, look up and read, or evict everything."""

    WRITE = "w"
    READ = "r"
    COLLECT = "c"


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One thing that a worker does from beginning to end; a collector has no ``label``."""

    kind: TaskKind
    label: str = ""

    def __post_init__(self) -> None:
        labels = ("",) if self.kind is TaskKind.COLLECT else LABELS
        if self.label not in labels:
            raise ValueError(f"{self.word!r} is no task")

    @property
    def word(self) -> str:
        """The task in a name: ``wk``, ``rk``, ``c``."""
        return f"{self.kind}{self.label}"


Composition = tuple[tuple[Task, ...], ...]
"""The tasks of each worker, in order."""


def name_of(composition: Composition) -> str:
    """The scenario's name."""
    workers = (_TASKS.join(task.word for task in tasks) for tasks in composition)
    return PREFIX + _WORKERS.join(workers)


def composed(composition: Composition) -> Scenario:
    """The scenario of these tasks. Raises ValueError for workers or tasks too many or too few."""
    if not 1 <= len(composition) <= WORKERS_MAX:
        raise ValueError(f"a composition has 1 to {WORKERS_MAX} workers")
    if not all(1 <= len(tasks) <= TASKS_MAX for tasks in composition):
        raise ValueError(f"a worker has 1 to {TASKS_MAX} tasks")
    used = {task.label for tasks in composition for task in tasks} - {""}
    return Scenario(
        name=name_of(composition),
        title="Composed of drawn tasks.",
        programs=tuple(
            _in_turn(tasks, f"w{letter}")
            for letter, tasks in zip(_LETTERS, composition, strict=False)
        ),
        tree="empty",
        requirements=(),
        preemptions=0,
        labels=tuple(sorted(used)),
    )


def scenario_of(name: str) -> Scenario:
    """The scenario of that name, of the catalogue or composed. Raises KeyError where none is."""
    if not name.startswith(PREFIX):
        return scenario(name)
    try:
        workers = name.removeprefix(PREFIX).split(_WORKERS)
        return composed(tuple(tuple(map(_task, each.split(_TASKS))) for each in workers))
    except ValueError as error:
        raise KeyError(f"no scenario {name!r}: {error}") from error


def _task(word: str) -> Task:
    return Task(kind=TaskKind(word[:1]), label=word[1:])


def _in_turn(tasks: Iterable[Task], name: str) -> Program:
    """The programs of the tasks, one after the other."""
    parts = [_program(task, name) for task in tasks]

    def play(payloads: Payloads) -> Generator[Ask, object, None]:
        for part in parts:
            yield from part(payloads)

    return play


def _program(task: Task, name: str) -> Program:
    if task.kind is TaskKind.WRITE:
        return writer(task.label, name)
    return reader(task.label) if task.kind is TaskKind.READ else collector()
