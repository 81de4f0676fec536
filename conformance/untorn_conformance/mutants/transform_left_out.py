"""The reference before its transform axis. Seeded bug: converted frames go under the plain key."""

from __future__ import annotations

from typing import Final

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"K5"})
MAY_FAIL: Final = frozenset({"K6"})
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_transforms.py",
        id="K5.neither_order_serves_the_frames_of_the_other",
        says="was asked for, in the order",
    ),
    Case(
        file="test_transforms.py",
        id="K5.both_at_once_get_their_own_frames",
        says="was asked for at once with the other",
    ),
    Case(
        file="test_transforms.py",
        id="K5.one_render_gives_each_its_own_frames",
        says="was asked for beside the other",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    from untorn import request  # noqa: PLC0415 - imports PyAV
    from untorn.transform import Transform, axis  # noqa: PLC0415

    def of_final_frames_alone(_transform: Transform | None, final_frame: bool) -> str | None:
        return axis(None, final_frame)

    vars(request)["axis"] = of_final_frames_alone
    return Reference()
