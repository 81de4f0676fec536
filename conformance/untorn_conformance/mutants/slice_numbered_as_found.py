"""The reference that links frames as they are. Seeded bug: slices keep the longer one's numbers."""

from __future__ import annotations

import os
from typing import Final

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"X2"})
MAY_FAIL: Final = frozenset({"D2", "K5", "K6"})
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_slices.py",
        id="X2.a_range_after_a_longer_one_is_as_alone[aligned]",
        says="aligned: ",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    from untorn import slicing  # noqa: PLC0415 - imports PyAV

    link = slicing._link

    def as_found(source_fd: int, name: str, target_fd: int, target: str) -> os.stat_result | None:
        del target
        return link(source_fd, name, target_fd, name)

    slicing._link = as_found
    return Reference()
