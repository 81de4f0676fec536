"""Collecting cycles of garbage more seldom while runs are made: there is next to none.

A run makes tens of thousands of objects, nearly all of which are let go at once; looking through
them for cycles, and every so often through all that was ever imported, took 5 % of a search.

Rule 1: what is there at the beginning is not looked through, and is again afterwards, unless it
        was not before either.
Rule 2: cycles are found all the same, so a search of any length keeps its size.

Source: gc.freeze and gc.set_threshold of the standard library.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Final

_YOUNG: Final = 20_000
"""How many objects more than before there are when the youngest are looked through."""


@contextlib.contextmanager
def collected_seldom() -> Iterator[None]:
    """While this lasts, cycles that are garbage are looked for seldom, and among what is new."""
    before, had_frozen = gc.get_threshold(), gc.get_freeze_count() > 0
    gc.freeze()
    gc.set_threshold(_YOUNG, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        if not had_frozen:
            gc.unfreeze()
