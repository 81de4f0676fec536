"""The reference that takes any text for a key. Seeded bug: one that leads out of the root may."""

from __future__ import annotations

from typing import Final

from untorn import cache

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"S2"})
MAY_FAIL: Final = frozenset({"K7"})
SHOWN_BY: Final[Shown] = (Case(file="test_security.py", id="S2.no_key_escapes", says="added"),)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    vars(cache)["require_key"] = str
    return Reference()
