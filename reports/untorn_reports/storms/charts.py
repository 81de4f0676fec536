"""The charts of a storm: lines and areas in thousandths of a width, with round scales."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from untorn_reports.storms.bins import Values, hit_ratio, hit_ratios, median
from untorn_reports.storms.document import Series

WIDE: Final = 1000.0
"""The width of a chart in its own units; its height is 100."""
_HIGH: Final = 100.0
_BUDGET_SHOWN: Final = 4.0
"""A budget that is more times the peak is told, and not drawn: the rest would lie on the ground."""
_NICE: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_MILLION: Final = 1e6

Scale: TypeAlias = Callable[[float], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """One series of a chart: its name, how it is drawn, and its SVG path."""

    name: str
    style: str
    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """``labels`` are those of the ordinate from the top, evenly spaced; ``note`` sums up."""

    title: str
    unit: str
    note: str
    labels: tuple[str, ...]
    traces: tuple[Trace, ...]


def charts_of(series: Series, budget_bytes: int | None) -> Iterator[Chart]:
    """The charts of what was measured, in reading order."""
    rates = [None if each is None else each / series.bin_s for each in series.operations]
    if rates:
        yield _linear("Operations", "a second", [("operations", "area", rates)], _said(rates, ""))
    latencies = [("p99", "second", series.p99_ms), ("p50", "first", series.p50_ms)]
    if any(each is not None for _, _, values in latencies for each in values):
        yield _logarithmic(latencies)
    ratios = hit_ratios(series)
    if any(each is not None for each in ratios):
        whole = hit_ratio(series)
        note = f"{100 * whole:.0f} % of all lookups" if whole is not None else ""
        yield _linear("Hit ratio", "%", [("hits", "first", ratios)], note, top=100.0)
    if series.evicted:
        evicted = [None if each is None else each / series.bin_s for each in series.evicted]
        note = f"{sum(each or 0 for each in series.evicted):,.0f} in all"
        yield _linear("Evictions", "a second", [("evictions", "area", evicted)], note)
    if any(each is not None for each in series.disk_bytes):
        yield _disk(series.disk_bytes, budget_bytes)


def _disk(sizes: Values, budget_bytes: int | None) -> Chart:
    stored = [None if each is None else each / _MILLION for each in sizes]
    traces: list[tuple[str, str, Values]] = [("on disk", "first", stored)]
    peak = max(each or 0 for each in stored)
    note = f"peak {plain(peak)} MB"
    if budget_bytes is not None and budget_bytes / _MILLION <= _BUDGET_SHOWN * peak:
        traces.append(("budget", "limit", [budget_bytes / _MILLION]))
    if budget_bytes is not None:
        note += f", budget {plain(budget_bytes / _MILLION)} MB"
    return _linear("Bytes on disk", "MB", traces, note)


def _linear(
    title: str,
    unit: str,
    series: Sequence[tuple[str, str, Values]],
    note: str,
    top: float | None = None,
) -> Chart:
    most = max((each for _, _, values in series for each in values if each is not None), default=0)
    top = _nice(most) if top is None else top
    return Chart(
        title=title,
        unit=unit,
        note=note,
        labels=(plain(top), plain(top / 2), "0"),
        traces=tuple(
            Trace(name=name, style=style, path=_path(values, lambda each: each / top, style))
            for name, style, values in series
        ),
    )


def _logarithmic(series: Sequence[tuple[str, str, Values]]) -> Chart:
    """Decades: a stop of seconds and a lookup of a millisecond are both to be seen."""
    there = [each for _, _, values in series for each in values if each]
    low = math.floor(math.log10(min(there, default=1.0)))
    high = max(math.ceil(math.log10(max(there, default=10.0))), low + 1)

    def scale(value: float) -> float:
        return (math.log10(max(value, 10.0**low)) - low) / (high - low)

    said = {name: median(values) for name, _, values in series}
    worst = max((each for each in series[0][2] if each is not None), default=0.0)
    note = f"p50 {_told(said['p50'])}, p99 {_told(said['p99'])}, worst {plain(worst)}"
    return Chart(
        title="Latency",
        unit="ms, log scale",
        note=note,
        labels=tuple(plain(10.0**power) for power in range(high, low - 1, -1)),
        traces=tuple(
            Trace(name=name, style=style, path=_path(values, scale, style))
            for name, style, values in series
        ),
    )


def _path(values: Values, scale: Scale, style: str) -> str:
    """A line through the middles of the bins, broken where nothing was measured; or their area."""
    step = WIDE / max(len(values), 1)
    parts: list[str] = []
    run: list[tuple[float, float]] = []
    for number, value in enumerate((*values, None)):
        if value is not None:
            y = _HIGH * (1 - min(max(scale(value), 0.0), 1.0))
            run.append((number * step, y))
        elif run:
            parts.append(_steps(run, step, closed=style == "area"))
            run = []
    return "".join(parts)


def _steps(run: Sequence[tuple[float, float]], step: float, *, closed: bool) -> str:
    if closed:
        walls = "".join(f"V{y:.1f}H{x + step:.1f}" for x, y in run)
        return f"M{run[0][0]:.1f} {_HIGH:.0f}{walls}V{_HIGH:.0f}Z"
    if len(run) == 1:  # a line of one point would not be seen
        return f"M{run[0][0]:.1f} {run[0][1]:.1f}h{step:.1f}"
    return "M" + "L".join(f"{x + step / 2:.1f} {y:.1f}" for x, y in run)


def _nice(most: float) -> float:
    """The next number that is 1, 2, 2.5 or 5 times a power of ten, and 1 at least."""
    if most <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next((step * power for step in _NICE if step * power >= most), 10 * power)


def _said(values: Values, unit: str) -> str:
    middle = median(values)
    return "" if middle is None else f"median {plain(middle)}{unit}"


def plain(value: float) -> str:
    """A number as people write it: three digits of a small one, all of a large one."""
    if value >= _HIGH or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _told(value: float | None) -> str:
    return "none" if value is None else plain(value)
