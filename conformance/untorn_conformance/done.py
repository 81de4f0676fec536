"""How `untorn explore` and `untorn replay` end: text, document and exit code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from untorn_fixtures.errors import FixtureError
from untorn_stress.explorer import leaves_open
from untorn_stress.gate.availability import Availability
from untorn_stress.laboratory import TreeUnavailableError

SCHEMA: Final = "untorn/exploration/1"
FOUND, UNDECIDED, BROKEN, INTERRUPTED = 1, 6, 7, 130
"""Exit codes besides 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """What to print, and the exit code."""

    exit_code: int
    text: str
    document: dict[str, Any]


class UnwritableError(Exception):
    """Where counterexamples are to go none can be written; the message names the place."""


def refused(gate: Availability) -> Done:
    """There can be no gate here."""
    text = f"UNKNOWN: the gate cannot be used here: {gate.reason}\n{gate.advice}"
    document = {"schema": SCHEMA, "verdict": "unknown", "reason": gate.reason}
    return Done(exit_code=UNDECIDED, text=text, document={**document, "advice": gate.advice})


def stopped(reason: str, code: int) -> Done:
    """It ended before there was anything to tell."""
    document = {"schema": SCHEMA, "verdict": "unknown" if code == UNDECIDED else "invalid"}
    word = "UNKNOWN" if code == UNDECIDED else "no verdict"
    return Done(exit_code=code, text=f"{word}: {reason}", document={**document, "reason": reason})


def code_of(error: Exception) -> int:
    """Undecided for what leaves all open; for what failed, that no verdict is possible."""
    is_open = leaves_open(error) or isinstance(error, TreeUnavailableError | FixtureError)
    return UNDECIDED if is_open else BROKEN
