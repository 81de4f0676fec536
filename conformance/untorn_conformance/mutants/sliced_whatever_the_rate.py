"""The reference that cuts at the nearest frame. Seeded bug: offsets need not be whole frames."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"X2"})
MAY_FAIL: Final = frozenset({"D2", "K5", "K6"})
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_slices.py",
        id="X2.a_range_after_a_longer_one_is_as_alone[between two outputs]",
        says="between two outputs: ",
    ),
    Case(
        file="test_slices.py",
        id="X2.a_range_after_a_longer_one_is_as_alone[between two source frames]",
        says="between two source frames: ",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    from untorn import cadence, superset  # noqa: PLC0415 - imports PyAV
    from untorn.clip import ClipInfo  # noqa: PLC0415
    from untorn.command import Range  # noqa: PLC0415

    def kept(info: ClipInfo, wanted: Range) -> superset.Kept:
        assert info.end_s is not None
        end_s = info.end_s
        if wanted.duration_s is not None:
            end_s = min(end_s, wanted.start_s + wanted.duration_s)
        count = round((end_s - wanted.start_s) * wanted.fps)
        return superset.Kept(first=0, stop=int(end_s * info.rate), count=count)

    def nearest(info: ClipInfo, longer: Range, shorter: Range) -> superset.Offset | None:
        if superset._axes(longer) != superset._axes(shorter):
            return None
        first = round(Fraction(shorter.start_s - longer.start_s) * shorter.fps)
        inner, outer = kept(info, shorter), kept(info, longer)
        if first < 0 or first + inner.count > outer.count:
            return None
        return superset.Offset(first=first, count=inner.count)

    vars(superset).update(kept=kept, sliceable=nearest)
    vars(cadence).update(holds=lambda *_given: True)
    return Reference()
