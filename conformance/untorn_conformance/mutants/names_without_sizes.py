"""The reference that lists names and no sizes. Seeded bug: a file that was cut is still a file."""

from __future__ import annotations

import os
from typing import Final

from untorn import lookup
from untorn.manifest import Manifest, ManifestError
from untorn.outcome import MissReason

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"T1"})
MAY_FAIL: Final = frozenset({"C1", "P1", "P4", "R6", "S3", "T2"})
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_third_party.py",
        id="T1.damage_is_found_at_the_next_touch[truncated-unnoticed]",
        says="Hit(",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    lookup.check_files = _check_names
    return Reference()


def _check_names(fd: int, sealed: Manifest) -> None:
    if set(sealed.names) - set(os.listdir(fd)):
        raise ManifestError(MissReason.DAMAGED, "a frame is missing")
