"""What a scenario is: who does what, beginning from which tree, explored how far.

    Program      a generator function: yields what its worker is asked next, is sent the answer
    Scenario     a program for each of the workers A, B, C, a natural tree, the rows it is
                 evidence for
    NaturalTree  how a tree is made before the run, and what its keys hold then

Rule 1: a program depends on nothing but the answers that it is sent: the same answers, the same
        asks. It is sent a dataclass of ``backend``, None for done, or the BackendError answered.
Rule 2: workers have opened the root before the first step; a program never asks for ``open``.
Rule 3: a program releases what it was handed, so that a complete run holds nothing at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from untorn_conformance.backend import Verb
from untorn_conformance.contract import Capability

from untorn_stress.payloads import NATURAL_WRITER, Payloads


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """One verb with its arguments; ``tag`` is the writer's name where the verb writes."""

    verb: Verb
    args: dict[str, object] = field(default_factory=dict)
    tag: str = ""


Program: TypeAlias = Callable[[Payloads], Generator[Ask, object, None]]


class Locks(StrEnum):
    """What lock calls do: their work, nothing (and say that they did), or fail with an errno."""

    REAL = "real"
    NOOP = "noop"
    ENOLCK = "ENOLCK"
    EOPNOTSUPP = "EOPNOTSUPP"


class KeyState(StrEnum):
    """What a key holds at the beginning of a run.

    Crashed is what a crash left where no outsider had harmed anything: a miss or a complete entry
    (C1). Unknown is what may have been harmed before, too (T1).
    """

    ABSENT = "absent"
    COMPLETE = "complete"
    DAMAGED = "damaged"
    CRASHED = "crashed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Play:
    """A step of making a tree: one worker plays the program, alone, until its end."""

    program: Program


@dataclass(frozen=True, kw_only=True, slots=True)
class Thin:
    """A step of making a tree: behind the backend's back, remove the file with these bytes.

    It is the regular file below the root that has the SHA-256
    ``Payloads.digests(label, writer)[index]``; where there is none the
    backend keeps its frames otherwise, and the tree cannot be made.
    """

    label: str
    writer: str = NATURAL_WRITER
    index: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class NaturalTree:
    """An initial tree and how it is made of a root that was opened once.

    ``holds`` says what the keys hold then, by label; a label that is not named is absent.
    """

    name: str
    steps: tuple[Play | Thin, ...]
    holds: Mapping[str, KeyState]


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """An operation whose crash states become initial trees: ``program``, alone, on ``tree``."""

    name: str
    title: str
    tree: str
    program: Program


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """Who does what.

    ``title`` is one sentence for people. ``programs`` are those of the workers A, B, C. ``tree`` is
    the natural tree's name. Without the capabilities ``needs`` the scenario does not apply.
    ``requirements`` are the rows that a run without a finding is evidence for; rules may name
    others in a finding. ``preemptions`` bounds the default run from the natural tree,
    ``harvest_preemptions`` that from each harvested tree (None: not run from those). ``labels`` are
    those whose keys its programs use.
    """

    name: str
    title: str
    programs: tuple[Program, ...]
    tree: str
    requirements: tuple[str, ...]
    preemptions: int
    harvest_preemptions: int | None = None
    needs: frozenset[Capability] = frozenset()
    locks: Locks = Locks.REAL
    labels: tuple[str, ...] = ("k",)
