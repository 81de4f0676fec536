"""Draws that depend on the seed alone.

Rule 1: everything is made of booleans. Of integers and choices Hypothesis draws some from the
        constants that it reads in the source of whatever is imported: there one seed gives other
        plans after an edit of any file, and a cache of those constants is left where pytest ran.
Rule 2: all false is the first of everything, so that shrinking ends there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")

_SPARE_BITS: Final = 3
"""Bits beyond those that a number takes: no remainder is then much likelier than another."""


def numbers(below: int) -> st.SearchStrategy[int]:
    """A number from 0 to below that."""
    bits = (below - 1).bit_length()
    is_power_of_two = below == 1 << bits
    drawn = st.tuples(*[st.booleans()] * (bits if is_power_of_two else bits + _SPARE_BITS))
    return drawn.map(lambda each: _number(each) % below)


def any_of(values: Sequence[T]) -> st.SearchStrategy[T]:
    """One of the values; the first is the simplest."""
    return numbers(len(values)).map(lambda index: values[index])


def some_of(each: st.SearchStrategy[T], counts: Sequence[int]) -> st.SearchStrategy[tuple[T, ...]]:
    """Some values, as many as one of the counts says."""
    most = st.tuples(*[each] * max(counts))
    return st.builds(lambda values, count: values[:count], most, any_of(counts))


def _number(bits: tuple[bool, ...]) -> int:
    value = 0
    for bit in bits:
        value = 2 * value + bit
    return value
