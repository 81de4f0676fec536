"""The reference that knows one word for off. Seeded bug: `none`, `false`, `0` are paths."""

from __future__ import annotations

from typing import Final

from untorn import config

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"F2"})
MAY_FAIL: Final[frozenset[str]] = frozenset()
SHOWN_BY: Final[Shown] = (Case(file="test_configuration.py", id="F2.off", says="none"),)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    config.OFF_WORDS = frozenset({"off"})
    return Reference()
