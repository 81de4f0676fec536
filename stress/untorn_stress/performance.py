"""One run while it goes on: who plays, what was chosen, and what has come of it so far."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from untorn_stress.player import Ledger, Player
from untorn_stress.run import Finding, FindingKind, Step
from untorn_stress.schedulers.protocol import Executed, Option


@dataclass(slots=True)
class Performance:
    """``waiting`` are those who never answer, in the end; ``began_s`` is of the monotonic clock."""

    ledger: Ledger = field(default_factory=Ledger)
    players: dict[str, Player] = field(default_factory=dict)
    choices: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    executed: Executed | None = None
    cut: bool = False
    waiting: tuple[Option, ...] = ()
    began_s: float = field(default_factory=time.monotonic)

    @property
    def is_stuck(self) -> bool:
        """Whether somebody never answered."""
        return any(each.kind is not FindingKind.VIOLATION for each in self.findings)
