"""Cycles of garbage while runs are made: found, though seldom, and as before afterwards."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
from untorn_stress.garbage import collected_seldom


class Cyclic:
    """Never let go by its own reference count."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Whatever a test breaks, the next ones find the collector as it was."""
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


def test_what_was_there_is_not_looked_through_meanwhile_and_is_again_afterwards() -> None:
    threshold, frozen = gc.get_threshold(), gc.get_freeze_count()
    with collected_seldom():
        assert gc.get_freeze_count() > frozen
        assert gc.get_threshold()[0] > threshold[0]
    assert (gc.get_threshold(), gc.get_freeze_count()) == (threshold, 0)


def test_what_was_frozen_before_stays_so() -> None:
    gc.freeze()
    with collected_seldom():
        pass
    assert gc.get_freeze_count() > 0


def test_a_cycle_that_is_made_meanwhile_is_found_without_being_asked_for() -> None:
    with collected_seldom():
        first = weakref.ref(Cyclic())
        kept: list[list[int]] = []
        while first() is not None and len(kept) < 1_000_000:
            kept.append([])
        assert first() is None


def test_ends_though_the_search_failed() -> None:
    threshold = gc.get_threshold()
    with pytest.raises(OSError, match="full"), collected_seldom():
        raise OSError("full")
    assert (gc.get_threshold(), gc.get_freeze_count()) == (threshold, 0)
