"""The reference that counts from one. Seeded bug: a slice begins one frame late."""

from __future__ import annotations

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
    from untorn.access import Access  # noqa: PLC0415
    from untorn.staging import Staging  # noqa: PLC0415
    from untorn.superset import Offset  # noqa: PLC0415

    fill = slicing._fill

    def late(access: Access, work: Staging, source: slicing.Source, offset: Offset) -> None:
        first = min(offset.first + 1, len(source.names) - offset.count)
        fill(access, work, source, Offset(first=first, count=offset.count))

    slicing._fill = late
    return Reference()
