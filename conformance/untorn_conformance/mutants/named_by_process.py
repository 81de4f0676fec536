"""The reference with names of process ids. Seeded bug: in two containers these are the same."""

from __future__ import annotations

import itertools
import os
from typing import Final

from untorn import layout

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"P6"})
MAY_FAIL: Final = frozenset({"C3", "P1", "P2", "P3", "P5"})
SHOWN_BY: Final[Shown] = (
    Case(file="test_publish.py", id="P6.equal_process_ids_do_not_collide[second]", says="EEXIST"),
)

_count = itertools.count()


def factory() -> Reference:
    """The mutant, in a process of its own."""
    layout.random_suffix = _pid_and_count
    return Reference()


def _pid_and_count() -> str:
    return f"{os.getpid():016x}{next(_count):016x}"
