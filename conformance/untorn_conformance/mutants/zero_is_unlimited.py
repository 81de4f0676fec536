"""The reference that takes 0 for nothing said. Seeded bug: a budget of 0 MB means none at all."""

from __future__ import annotations

from typing import Final

from untorn import config

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"G10"})
MAY_FAIL: Final = frozenset({"F4"})
SHOWN_BY: Final[Shown] = (
    Case(file="test_configuration.py", id="G10.budget[nothing]", says="'ab'"),
)

_parse_budget = config.parse_budget


def factory() -> Reference:
    """The mutant, in a process of its own."""
    config.parse_budget = _parse_or_none
    return Reference()


def _parse_or_none(text: str, name: str) -> int | None:
    return _parse_budget(text, name) or None
