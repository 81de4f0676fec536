"""Faults as choices: what a worker can meet in place of the step that it stands before.

    EIO          the call fails with EIO, once
    EIO+         it fails so, and from then on every call of this worker that can
    EINTRx2      it is interrupted, and so is the next call of the same name
    short        a write that writes a part of what was asked for
    kill         SIGKILL of the worker with all below it
    kill.within  the same, when a part of a write is written
    kill.parent  SIGKILL of its first process alone, whose children go on

Rule 1: a call is offered only errnos that it can return (``gate.errnos``).
Rule 2: who is afflicted already is offered no further fault: what lasts decides.
Rule 3: every errno that was delivered is noted with the operation that met it; a fault that is to
        last, and was met by no further call, has been met once all the same.

Source: SQLite's I/O error tests ("fail the Nth, once and persistently"); gate_rules T15 on EINTR.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from untorn_stress.gate.calls import Call
from untorn_stress.gate.errnos import errnos_of
from untorn_stress.gate.worker import Held
from untorn_stress.run import KILLS

SHORT: Final = "short"
_INTERRUPTED: Final = "EINTR"
_LEAST_SHORT_BYTES: Final = 2


class Lasts(Enum):
    """How often an errno is delivered."""

    ONCE = ""
    TWICE = "x2"
    ON = "+"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An errno in place of a call, and how long that lasts."""

    errno: str
    lasts: Lasts

    def __str__(self) -> str:
        return f"{self.errno}{self.lasts.value}"

    @classmethod
    def of(cls, fault: str) -> Refusal | None:
        """The refusal that a fault of a label stands for; None for a fault of another kind."""
        if not fault or fault == SHORT or fault in KILLS:
            return None
        for lasts in (Lasts.TWICE, Lasts.ON):
            if fault.endswith(lasts.value):
                return cls(fault.removesuffix(lasts.value), lasts)
        return cls(fault, Lasts.ONCE)


def faults_of(held: Held) -> tuple[str, ...]:
    """The faults, as labels have them, that the call can meet."""
    found = [SHORT] if can_be_short(held.call) else []
    for name in _errnos(held):
        once = Refusal(name, Lasts.ONCE)
        found += [str(once), str(lasting(once))]
    return tuple(found)


def lasting(once: Refusal) -> Refusal:
    """The refusal that begins as that one and goes on."""
    is_twice = once.errno == _INTERRUPTED
    return Refusal(once.errno, Lasts.TWICE if is_twice else Lasts.ON)


def _errnos(held: Held) -> tuple[str, ...]:
    """What the call can return; a close reports only what was written before."""
    if held.call.name == "close" and not held.worker.has_written(held):
        return ()
    return errnos_of(held.call)


def can_be_short(call: Call) -> bool:
    """Whether a part of it can be written: a plain write of more than a byte."""
    return call.name == "write" and call.arguments[2] >= _LEAST_SHORT_BYTES


@dataclass(slots=True)
class Affliction:
    """What one worker suffers from: a refusal that goes on."""

    refusal: Refusal
    call_name: str

    def refuses(self, held: Held) -> bool:
        """Whether the call meets it."""
        is_of_kind = self.refusal.lasts is Lasts.ON or held.call.name == self.call_name
        return is_of_kind and self.refusal.errno in _errnos(held)


class Afflictions:
    """Who suffers from what, in one run."""

    def __init__(self) -> None:
        self._by_worker: dict[str, Affliction] = {}

    def offered(self, held: Held) -> tuple[str, ...]:
        """The faults that the call may be made to meet."""
        return () if held.worker.letter in self._by_worker else faults_of(held)

    def begin(self, held: Held, refusal: Refusal) -> None:
        """The call met it; what lasts goes on."""
        if refusal.lasts is not Lasts.ONCE:
            self._by_worker[held.worker.letter] = Affliction(refusal, held.call.name)

    def met_by(self, held: Held) -> str:
        """The errno that a step of the worker meets by what lasts, or ""; twice is over then."""
        found = self._by_worker.get(held.worker.letter)
        if found is None or not found.refuses(held):
            return ""
        if found.refusal.lasts is Lasts.TWICE:
            del self._by_worker[held.worker.letter]
        return found.refusal.errno
