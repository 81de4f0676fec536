"""The reference that fails the render. Seeded bug: where no root can be made, open fails."""

from __future__ import annotations

from typing import Final

from untorn import access
from untorn.errors import RootRefusedError
from untorn.root import Root, open_root

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"D1"})
MAY_FAIL: Final = frozenset({"D2", "D3", "E1", "L2", "O1", "P5"})
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_degrade.py",
        id="D1.a_root_that_cannot_be_used[below_a_file]",
        says="root-refused",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    vars(access)["open_root"] = _open_or_refuse
    return Reference()


def _open_or_refuse(path: str) -> Root:
    try:
        return open_root(path)
    except OSError as error:
        raise RootRefusedError(str(error)) from error
