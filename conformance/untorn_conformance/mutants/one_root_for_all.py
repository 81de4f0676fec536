"""The reference with one default root for everybody. Seeded bug: the user is not in its name."""

from __future__ import annotations

import os
import tempfile
from typing import Final

from untorn import config

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"F1"})
MAY_FAIL: Final[frozenset[str]] = frozenset()
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_configuration.py",
        id="F1.on_by_default_below_the_temporary_directory",
        says="endswith",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    config.default_root = _shared
    return Reference()


def _shared() -> str:
    return os.path.join(tempfile.gettempdir(), "untorn")
