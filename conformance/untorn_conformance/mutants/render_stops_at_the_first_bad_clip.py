"""The reference whose renders are all or nothing. Seeded bug: the first bad clip ends a render."""

from __future__ import annotations

from typing import Final

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"D5"})
MAY_FAIL: Final = frozenset({"D2"})
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_degrade_render.py",
        id="D5.a_bad_clip_harms_no_other",
        says="BackendError",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    from untorn import render  # noqa: PLC0415 - imports PyAV
    from untorn.breakdown import Item  # noqa: PLC0415

    items_of = render._Render._items

    def all_or_nothing(self: render._Render, works: list[render._Work]) -> list[Item]:
        items = items_of(self, works)
        for item in items:
            if item.error is not None:
                raise item.error
        return items

    vars(render)["_Render"]._items = all_or_nothing
    return Reference()
