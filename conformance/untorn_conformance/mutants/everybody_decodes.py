"""The reference without single-flight. Seeded bug: nobody waits for who is at the same work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from untorn import flight
from untorn.flight import Flight, Role
from untorn.root import Root

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"P7"})
MAY_FAIL: Final[frozenset[str]] = frozenset()
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_single_flight.py", id="P7.the_work_is_done_once", says="ExtractOutcome.ADOPTED"
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    flight.take_off = _at_once
    return Reference()


def _at_once(
    root: Root,
    key: str,
    wait_s: float,
    pause: Callable[[float], None] | None = None,
    *,
    also: Sequence[str] = (),
) -> Flight:
    del root, key, wait_s, pause, also
    return Flight(Role.LED, None)
