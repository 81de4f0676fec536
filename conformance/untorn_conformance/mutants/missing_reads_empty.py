"""The reference that swallows an error. Seeded bug: a frame that is gone reads as empty."""

from __future__ import annotations

from typing import Final

from untorn import reading
from untorn.frames import EvictedError, Frames

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"R5"})
MAY_FAIL: Final = frozenset({"R4", "T1"})
SHOWN_BY: Final[Shown] = (
    Case(file="test_read.py", id="R5.what_an_outsider_took_is_no_error[emptied]", says="bytes=0"),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    vars(reading)["Frames"] = _Forgiving
    return Reference()


class _Forgiving(Frames):
    __slots__ = ()

    def read(self, index: int) -> bytes:
        """The bytes of the frame, none if it is gone."""
        try:
            return super().read(index)
        except EvictedError:
            return b""
