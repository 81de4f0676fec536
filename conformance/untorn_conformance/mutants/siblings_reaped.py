"""The reference with a greedy reaper. Seeded bug: whatever lies in staging is taken for staging."""

from __future__ import annotations

from typing import Final

from untorn import layout

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"G5"})
MAY_FAIL: Final = frozenset({"S3"})
SHOWN_BY: Final[Shown] = (
    Case(file="test_collect.py", id="G5.touches_nothing_foreign", says="animated-gif"),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    layout.staging_key = _any_name
    return Reference()


def _any_name(name: str) -> str | None:
    return name
