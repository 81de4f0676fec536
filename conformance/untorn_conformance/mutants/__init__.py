"""Mutants: the reference with one seeded bug each, to prove that the suite finds it.

Each module has a ``factory`` that patches a function of ``untorn`` in its own process, the rows
that it KILLS (all of them must fail), those that it MAY_FAIL besides, and what it is SHOWN_BY.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A plain case of the suite that fails: its file, its id, and words of its failure."""

    file: str
    id: str
    says: str = ""

    @property
    def row(self) -> str:
        """The row that it shows."""
        return self.id.partition(".")[0]

    @property
    def node(self) -> str:
        """What pytest calls it, below the suite."""
        row, _, name = self.id.partition(".")
        return f"{self.file}::test_{row}_{name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """A bounded search of a scenario from its natural tree, and a finding that it must give.

    ``row`` and ``rule`` name the finding, ``says`` are words of its message.
    """

    scenario: str
    preemptions: int
    kills: int = 0
    errnos: int = 0
    row: str
    rule: str
    says: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Deaths:
    """All that everybody's death leaves of a lone worker, and a finding that one of it must give.

    ``after_crash``: it begins from what a death has left before, which makes the row C4.
    """

    scenario: str
    after_crash: bool = False
    row: str
    rule: str
    says: str


Shown: TypeAlias = tuple[Case | Search | Deaths, ...]
