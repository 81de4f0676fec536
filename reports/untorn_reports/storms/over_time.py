"""A storm over time as small charts that share one axis: plain geometry, in thousandths.

Rule 1: all charts have the same abscissa, so that one look goes from a fault to what it did.
Rule 2: bins are joined where there are more than a page can show; the joined value is the one that
        tells of trouble (the worst p99, the most bytes), and counts are added.
Rule 3: a bin in which nothing was measured is a gap, never a zero.
Rule 4: faults are told apart by their place, a row a name, not by their colours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from untorn_reports.storms.document import Band, Series, StormFinding, series_of

WIDE: Final = 1000.0
"""The width of a chart in its own units; its height is 100."""
_HIGH: Final = 100.0
_MOST_BINS: Final = 240
_SHADED_SHARE: Final = 0.004
"""A fault shorter than this share of the time is a tick in its row, and shades no chart."""
_MERGED_SHARE: Final = 0.0015
_LABEL_SHARE: Final = 0.025
_BUDGET_SHOWN: Final = 4.0
"""A budget that is more times the peak is told, and not drawn: the rest would lie on the ground."""
_NICE: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_STEPS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200)
_MOST_TICKS: Final = 8
_MILLION: Final = 1e6

Values: TypeAlias = Sequence[float | None]
Scale: TypeAlias = Callable[[float], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """From ``x`` on, ``width`` wide, in the units of the chart."""

    x: float
    width: float


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


@dataclass(frozen=True, kw_only=True, slots=True)
class StrikeRow:
    """When a fault was there."""

    name: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """A label below the charts; ``percent`` of the width from the left, ``anchor`` as in SVG."""

    percent: float
    text: str
    anchor: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkLabel:
    """The numbers on the page of findings that are too close to be told apart, and where."""

    text: str
    percent: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Numbers:
    """The charts' values as a table: what a reader without eyes has of them."""

    columns: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class OverTime:
    """All charts with what they share. ``joined`` says how many seconds a point stands for."""

    charts: tuple[Chart, ...]
    rows: tuple[StrikeRow, ...]
    shades: tuple[Span, ...]
    marks: tuple[float, ...]
    labels: tuple[MarkLabel, ...]
    found: tuple[Span, ...]
    breaks: tuple[float, ...]
    ticks: tuple[Tick, ...]
    joined: str
    numbers: Numbers


def over_time(
    series: Series,
    bands: Sequence[Band],
    *,
    findings: Sequence[StormFinding] = (),
    found_s: Sequence[float] = (),
    budget_bytes: int | None = None,
    breaks_s: Sequence[float] = (),
) -> OverTime | None:
    """Lay out a series; None where nothing was measured.

    ``findings`` have lines with their numbers, ``found_s`` are the times of others of their kinds.
    ``breaks_s`` are where a storm ended.
    """
    bins = max(map(len, series_of(series).values()))
    if not bins:
        return None
    end_s = bins * series.bin_s
    fewer = _joined(series, math.ceil(bins / _MOST_BINS))
    spans = dict(sorted(_spans(bands, end_s).items()))
    return OverTime(
        charts=tuple(_charts(fewer, budget_bytes)),
        rows=tuple(StrikeRow(name=name, spans=_union(own)) for name, own in spans.items()),
        shades=_union(each for own in spans.values() for each in own if each.width > _shaded()),
        marks=tuple(x for _, x in _marks(findings, end_s)),
        labels=tuple(_labels(_marks(findings, end_s))),
        found=_union(Span(x=_x(at_s, end_s), width=0.0) for at_s in found_s),
        breaks=tuple(_x(at_s, end_s) for at_s in breaks_s if 0 < at_s < end_s),
        ticks=tuple(_ticks(end_s)),
        joined=f"{fewer.bin_s:g} s",
        numbers=_numbers(fewer),
    )


# --- bins ----------------------------------------------------------------------------------------


def _joined(series: Series, every: int) -> Series:
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


def _ratios(series: Series) -> list[float | None]:
    pairs = zip(series.hits, series.misses, strict=False)
    sums = [(hit or 0.0, (hit or 0.0) + (miss or 0.0)) for hit, miss in pairs]
    return [100 * hit / looked if looked else None for hit, looked in sums]


# --- charts --------------------------------------------------------------------------------------


def _charts(series: Series, budget_bytes: int | None) -> Iterator[Chart]:
    rates = [None if each is None else each / series.bin_s for each in series.operations]
    if rates:
        yield _linear("Operations", "a second", [("operations", "area", rates)], _said(rates, ""))
    latencies = [("p99", "second", series.p99_ms), ("p50", "first", series.p50_ms)]
    if any(each is not None for _, _, values in latencies for each in values):
        yield _logarithmic(latencies)
    ratios = _ratios(series)
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
    note = f"peak {_plain(peak)} MB"
    if budget_bytes is not None and budget_bytes / _MILLION <= _BUDGET_SHOWN * peak:
        traces.append(("budget", "limit", [budget_bytes / _MILLION]))
    if budget_bytes is not None:
        note += f", budget {_plain(budget_bytes / _MILLION)} MB"
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
        labels=(_plain(top), _plain(top / 2), "0"),
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
    note = f"p50 {_told(said['p50'])}, p99 {_told(said['p99'])}, worst {_plain(worst)}"
    return Chart(
        title="Latency",
        unit="ms, log scale",
        note=note,
        labels=tuple(_plain(10.0**power) for power in range(high, low - 1, -1)),
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
    return "" if middle is None else f"median {_plain(middle)}{unit}"


def _plain(value: float) -> str:
    if value >= _HIGH or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _told(value: float | None) -> str:
    return "none" if value is None else _plain(value)


# --- what the charts share -----------------------------------------------------------------------


def _spans(bands: Iterable[Band], end_s: float) -> dict[str, list[Span]]:
    by_name: dict[str, list[Span]] = {}
    for band in bands:
        end = end_s if band.end_s is None or band.end_s < band.begin_s else band.end_s
        begin, after = _x(band.begin_s, end_s), _x(end, end_s)
        by_name.setdefault(band.name, []).append(Span(x=begin, width=after - begin))
    return by_name


def _union(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Merge those that touch, or nearly so: a page has no more places than pixels."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda each: each.x):
        wide = Span(x=span.x, width=max(span.width, _MERGED_SHARE * WIDE))
        if merged and wide.x <= merged[-1].x + merged[-1].width + _MERGED_SHARE * WIDE:
            end = max(merged[-1].x + merged[-1].width, wide.x + wide.width)
            merged[-1] = Span(x=merged[-1].x, width=end - merged[-1].x)
        else:
            merged.append(wide)
    return tuple(Span(x=round(each.x, 1), width=round(each.width, 1)) for each in merged)


def _shaded() -> float:
    return _SHADED_SHARE * WIDE


def _marks(findings: Sequence[StormFinding], end_s: float) -> list[tuple[int, float]]:
    """The number of each finding and its place, from the left."""
    placed = [
        (number, round(_x(finding.at_s, end_s), 1))
        for number, finding in enumerate(findings, 1)
        if finding.at_s is not None
    ]
    return sorted(placed, key=lambda each: (each[1], each[0]))


def _labels(marks: Iterable[tuple[int, float]]) -> Iterator[MarkLabel]:
    groups: list[list[tuple[int, float]]] = []
    for mark in marks:
        if groups and mark[1] - groups[-1][-1][1] < _LABEL_SHARE * WIDE:
            groups[-1].append(mark)
        else:
            groups.append([mark])
    for group in groups:
        numbers = sorted(number for number, _ in group)
        whole = len(numbers) > 1 and numbers[-1] - numbers[0] == len(numbers) - 1
        ends = (numbers[0], numbers[-1])
        text = "\N{EN DASH}".join(map(str, ends)) if whole else ",".join(map(str, numbers))
        middle = sum(x for _, x in group) / len(group)
        yield MarkLabel(text=text, percent=round(100 * middle / WIDE, 2))


def _x(at_s: float, end_s: float) -> float:
    share = at_s / end_s
    return WIDE * min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0


def _ticks(end_s: float) -> Iterator[Tick]:
    step = next((each for each in _STEPS_S if end_s / each <= _MOST_TICKS), end_s / 4)
    at_s = 0.0
    while at_s <= end_s:
        share = at_s / end_s
        anchor = "start" if share == 0 else "end" if share > 0.96 else "middle"  # noqa: PLR2004
        yield Tick(percent=round(100 * share, 2), text=clock(at_s), anchor=anchor)
        at_s += step


def clock(seconds: float) -> str:
    """Seconds as people write them: ``45 s``, ``2:05 min``, ``8:00 h``."""
    if seconds < 120:  # noqa: PLR2004 (two minutes are still told in seconds)
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 120:  # noqa: PLR2004
        return f"{minutes}:{rest:02} min"
    return f"{minutes // 60}:{minutes % 60:02} h"


def _numbers(series: Series) -> Numbers:
    named: Mapping[str, Values] = {
        "operations": series.operations,
        "p50 (ms)": series.p50_ms,
        "p99 (ms)": series.p99_ms,
        "hits": series.hits,
        "misses": series.misses,
        "evicted": series.evicted,
        "on disk (bytes)": series.disk_bytes,
    }
    held = {name: values for name, values in named.items() if values}
    rows = zip(*held.values(), strict=True)
    return Numbers(
        columns=("from", *held),
        lines=tuple(
            (
                f"{number * series.bin_s:g} s",
                *("none" if each is None else _plain(each) for each in row),
            )
            for number, row in enumerate(rows)
        ),
    )
