"""The bins of a storm's series: fewer of them, and what they come to.

Rule 1: bins are joined where there are more than a page can show; the joined value is the one that
        tells of trouble (the worst p99, the most bytes), and counts are added.
Rule 2: a bin in which nothing was measured is a gap, never a zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from untorn_reports.storms.document import Series

Values: TypeAlias = Sequence[float | None]


def joined(series: Series, every: int) -> Series:
    """Join every so many bins into one."""

    def join(values: Values, how: Callable[[list[float]], float]) -> tuple[float | None, ...]:
        groups = (values[n : n + every] for n in range(0, len(values), every))
        there = ([each for each in group if each is not None] for group in groups)
        return tuple(how(each) if each else None for each in there)

    return Series(
        bin_s=series.bin_s * every,
        operations=join(series.operations, sum),
        p50_ms=join(series.p50_ms, _middle),
        p99_ms=join(series.p99_ms, max),
        hits=join(series.hits, sum),
        misses=join(series.misses, sum),
        evicted=join(series.evicted, sum),
        disk_bytes=join(series.disk_bytes, max),
    )


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def median(values: Values) -> float | None:
    """The median of what was measured; None where nothing was."""
    there = [each for each in values if each is not None]
    return _middle(there) if there else None


def hit_ratio(series: Series) -> float | None:
    """The share of lookups that hit, from 0 to 1; None where there were none."""
    hits = sum(each or 0.0 for each in series.hits)
    looked = hits + sum(each or 0.0 for each in series.misses)
    return hits / looked if looked else None


def hit_ratios(series: Series) -> list[float | None]:
    """The hit ratio of each bin in percent; None where nothing was looked up."""
    pairs = zip(series.hits, series.misses, strict=False)
    sums = [(hit or 0.0, (hit or 0.0) + (miss or 0.0)) for hit, miss in pairs]
    return [100 * hit / looked if looked else None for hit, looked in sums]
