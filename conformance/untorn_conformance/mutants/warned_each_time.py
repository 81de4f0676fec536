"""The reference that repeats itself. Seeded bug: nobody remembers what was warned about."""

from __future__ import annotations

from typing import Final

from untorn import events

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"D3"})
MAY_FAIL: Final = frozenset({"D1", "D4", "G12"})
SHOWN_BY: Final[Shown] = (
    Case(file="test_degrade.py", id="D3.warns_once_a_process_and_cause", says="degraded."),
)

_warn_once = events.warn_once


def factory() -> Reference:
    """The mutant, in a process of its own."""
    events.warn_once = _warn
    return Reference()


def _warn(cause: str, message: str, **fields: object) -> None:
    events._warned.discard(cause)
    _warn_once(cause, message, **fields)
