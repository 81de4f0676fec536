"""The reference that begins without room. Seeded bug: nobody asks the disk before decoding."""

from __future__ import annotations

from typing import Final

from untorn import extract
from untorn.access import Access
from untorn.space import Need
from untorn.upkeep import Upkeep

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"D4"})
MAY_FAIL: Final[frozenset[str]] = frozenset()
SHOWN_BY: Final[Shown] = (
    Case(file="test_degrade_extract.py", id="D4.makes_room_in_bytes", says="UNCACHED"),
    Case(file="test_degrade_render.py", id="D4.a_render_makes_room[bytes]", says="UNCACHED"),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    extract.room = _assume
    return Reference()


def _assume(access: Access, upkeep: Upkeep, need: Need) -> None:
    del access, upkeep, need
