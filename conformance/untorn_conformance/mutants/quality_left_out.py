"""The reference with a key that forgets an axis. Seeded bug: the quality of a jpg is not in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from untorn import key
from untorn.key import KeyInputs

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"K2"})
MAY_FAIL: Final = frozenset({"K6", "X1"})
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_key.py", id="K2.every_axis_changes_the_key", says="one key for different inputs"
    ),
)

_canonical_bytes = key.canonical_bytes


def factory() -> Reference:
    """The mutant, in a process of its own."""
    key.canonical_bytes = _without_quality
    return Reference()


def _without_quality(inputs: KeyInputs) -> bytes:
    return _canonical_bytes(replace(inputs, quality=None))
