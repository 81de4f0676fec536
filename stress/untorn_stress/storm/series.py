"""What happened when, in bins of a second: throughput, latency, hits, evictions, bytes, bands.

Rule 1: memory is bounded: latencies are kept for the bin that is under way alone, and bins that are
        too many are merged two by two, whose width then doubles.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

from untorn_conformance.history import Strike

_MOST_BINS: Final = 4096
_MOST_BANDS: Final = 20_000
_MOST_LATENCIES: Final = 20_000
_NS: Final = 1_000_000_000
_BANDLESS: Final = frozenset({"kill"})
"""Strikes that there are so many of that a plot would show nothing else."""


@dataclass(slots=True)
class Bin:
    """One stretch of time."""

    operations: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    hits: int = 0
    misses: int = 0
    evicted: int = 0
    disk_bytes: int = 0

    def join(self, other: Bin) -> None:
        """Take the next stretch in; of two percentiles the worse is kept."""
        self.operations += other.operations
        self.hits += other.hits
        self.misses += other.misses
        self.evicted += other.evicted
        self.p50_ms = max(self.p50_ms, other.p50_ms)
        self.p99_ms = max(self.p99_ms, other.p99_ms)
        self.disk_bytes = max(self.disk_bytes, other.disk_bytes)


class Series:
    """All bins of a storm since ``began_ns``."""

    def __init__(self, began_ns: int | None = None) -> None:
        self.began_ns: Final = time.monotonic_ns() if began_ns is None else began_ns
        self.bin_s = 1.0
        self.bands: list[dict[str, Any]] = []
        self._bins: list[Bin] = []
        self._latencies: list[float] = []

    def answered(self, verb: str, outcome: str, began_ns: int, ended_ns: int, evicted: int) -> None:
        """Count an answer."""
        bin_ = self._at(ended_ns)
        bin_.operations += 1
        bin_.evicted += evicted
        if verb == "lookup":
            bin_.hits += outcome == "hit"
            bin_.misses += outcome == "miss"
        if len(self._latencies) < _MOST_LATENCIES:
            self._latencies.append((ended_ns - began_ns) / 1e6)

    def weighed(self, disk_bytes: int) -> None:
        """Note what is on disk now."""
        self._at(time.monotonic_ns()).disk_bytes = disk_bytes

    def struck(self, strike: Strike) -> None:
        """Note a band of fault."""
        if strike.bit and strike.name not in _BANDLESS and len(self.bands) < _MOST_BANDS:
            begin_s, end_s = (
                round((each - self.began_ns) / _NS, 3) for each in (strike.begin_ns, strike.end_ns)
            )
            self.bands.append({"name": strike.name, "begin_s": begin_s, "end_s": end_s})

    def document(self) -> dict[str, Any]:
        """All bins, column by column."""
        self._close_bin()
        names = ("operations", "p50_ms", "p99_ms", "hits", "misses", "evicted", "disk_bytes")
        columns = {name: [getattr(each, name) for each in self._bins] for name in names}
        return {"bin_s": self.bin_s, **columns}

    def _at(self, at_ns: int) -> Bin:
        place = int((at_ns - self.began_ns) / _NS / self.bin_s)
        while place >= len(self._bins):
            self._close_bin()
            if len(self._bins) >= _MOST_BINS:
                self._halve()
                place = int((at_ns - self.began_ns) / _NS / self.bin_s)
            else:
                self._bins.append(Bin(disk_bytes=self._bins[-1].disk_bytes if self._bins else 0))
        return self._bins[max(place, 0)]

    def _close_bin(self) -> None:
        if self._bins and self._latencies:
            self._latencies.sort()
            count = len(self._latencies)
            self._bins[-1].p50_ms = round(self._latencies[count // 2], 3)
            self._bins[-1].p99_ms = round(self._latencies[count * 99 // 100], 3)
        self._latencies.clear()

    def _halve(self) -> None:
        for even, odd in zip(self._bins[::2], self._bins[1::2], strict=False):
            even.join(odd)
        self._bins = self._bins[::2]
        self.bin_s *= 2
