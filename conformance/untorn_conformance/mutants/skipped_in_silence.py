"""The reference that skips in silence. Seeded bug: nobody hears of one that stands still."""

from __future__ import annotations

from typing import Final

from untorn import events

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"G12"})
MAY_FAIL: Final[frozenset[str]] = frozenset()
SHOWN_BY: Final[Shown] = (
    Case(file="test_collect_race.py", id="G12.skips_are_warned_about", says="0 =="),
)

_warn_once = events.warn_once


def factory() -> Reference:
    """The mutant, in a process of its own."""
    events.warn_once = _warn_of_others
    return Reference()


def _warn_of_others(cause: str, message: str, **fields: object) -> None:
    if not cause.startswith("collect-skipped"):
        _warn_once(cause, message, **fields)
