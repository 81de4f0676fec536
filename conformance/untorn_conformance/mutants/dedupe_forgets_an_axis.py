"""The reference that merges too much. Seeded bug: a render takes one quality of jpg for another."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"K6"})
MAY_FAIL: Final[frozenset[str]] = frozenset()
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_merged_requests.py",
        id="K6.a_render_merges_what_is_equal_alone",
        says="another quality was asked for beside it",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    from untorn import render  # noqa: PLC0415 - imports PyAV
    from untorn.request import Resolved  # noqa: PLC0415

    works_of = render._Render._works

    def without_quality(resolved: Resolved) -> Resolved:
        return replace(resolved, range=replace(resolved.range, quality=None))

    def merged(self: render._Render) -> list[render._Work]:
        works: dict[Resolved, render._Work] = {}
        for work in works_of(self):
            first = works.setdefault(without_quality(work.job.resolved), work)
            if first is not work:
                first.indices += work.indices
        return list(works.values())

    vars(render)["_Render"]._works = merged
    return Reference()
