"""The reference that writes to what has its own names. Seeded bug: nobody counts a file's links."""

from __future__ import annotations

from typing import Final

from untorn import syscalls

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"S3"})
MAY_FAIL: Final[frozenset[str]] = frozenset()
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_security_planted.py",
        id="S3.planted_in_the_place_of_every_file[hard_link-open]",
        says="precious",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    syscalls.require_only_name = _never_mind
    return Reference()


def _never_mind(fd: int, path: str) -> None:
    del fd, path
