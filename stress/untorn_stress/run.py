"""One run of a scenario: the steps that were taken, the operations they belong to, what was found.

A plain value: explore and replay make it, rules judge it, tokens and timelines are made from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from untorn_conformance.backend import Verb

KILL: Final = "kill"
"""The fault that is a worker's death: SIGKILL in place of its next step."""

KILL_WITHIN: Final = "kill.within"
"""A worker's death within a write, of which a part is written."""

KILL_PARENT: Final = "kill.parent"
"""SIGKILL of a worker's first process alone: its decoder goes on, an orphan."""

KILLS: Final = frozenset({KILL, KILL_WITHIN, KILL_PARENT})


def is_kill(label: str) -> bool:
    """Whether a choice of this label is a worker's death."""
    return label.partition("!")[2] in KILLS


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One gated call that was let go.

    ``number`` counts from 0 in the run. ``actor`` is the worker's letter, with ``tN`` for its N-th
    further thread or child process (``A``, ``At1``). ``operation`` is the index in
    ``Run.operations`` of what its worker was doing, or -1. ``call`` is the system call's name,
    ``detail`` its canonical arguments (paths relative to the root, random parts numbered),
    ``result`` its canonical result ("0", "ENOENT", "fd", or "?" where only the target learned it).
    ``label`` is the choice.
    """

    number: int
    actor: str
    label: str
    operation: int
    call: str
    detail: str
    result: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One verb asked of one worker.

    ``began`` and ``ended`` are counts of steps taken in the run when it was asked and when its
    answer came (-1: never); equal numbers are ordered by ``index``. ``answer`` is a dataclass of
    ``backend``, None for done, or the BackendError that was answered. ``tag`` is the scenario's
    word for it (such as the payload's writer). ``faults`` are the errnos that calls of its worker
    were made to fail with while it went on, in order; "short" for a part of a write.
    """

    index: int
    worker: str
    verb: Verb
    args: dict[str, object] = field(default_factory=dict)
    tag: str = ""
    began: int = 0
    ended: int = -1
    answer: object = None
    faults: tuple[str, ...] = ()

    @property
    def is_answered(self) -> bool:
        """Whether its answer came; ``answer`` alone does not tell, since None is done."""
        return self.ended >= 0


class FindingKind(StrEnum):
    """What sort of thing was found."""

    VIOLATION = "violation"
    DEADLOCK = "deadlock"
    DIED = "died"
    NONDETERMINISTIC = "nondeterministic"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A rule that does not hold in a run: which requirement, in words, and beside which step.

    ``step`` is the number of the step that shows it, -1 when it shows only at the end. ``rule`` is
    the rule's short name: two findings are the same when requirement and rule are.
    """

    kind: FindingKind
    requirement: str
    rule: str
    message: str
    step: int = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run, complete: the choices made (labels), what they did, and what was found."""

    scenario: str
    tree: str
    seed: int
    choices: tuple[str, ...]
    steps: tuple[Step, ...]
    operations: tuple[Operation, ...]
    findings: tuple[Finding, ...] = ()
    cut: bool = False
    unobserved: tuple[str, ...] = ()
