"""A storm over time as small charts that share one axis: plain geometry, in thousandths.

Rule 1: all charts have the same abscissa, so that one look goes from a fault to what it did.
Rule 2: faults are told apart by their place, a row a name, not by their colours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from untorn_reports.storms.bins import Values, joined
from untorn_reports.storms.charts import WIDE, Chart, charts_of, plain
from untorn_reports.storms.document import Band, Series, StormFinding, series_of

_MOST_BINS: Final = 240
_SHADED_SHARE: Final = 0.004
"""A fault shorter than this share of the time is a tick in its row, and shades no chart."""
_MERGED_SHARE: Final = 0.0015
_LABEL_SHARE: Final = 0.025
_STEPS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200)
_MOST_TICKS: Final = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """From ``x`` on, ``width`` wide, in the units of the chart."""

    x: float
    width: float


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
    fewer = joined(series, math.ceil(bins / _MOST_BINS))
    spans = dict(sorted(_spans(bands, end_s).items()))
    return OverTime(
        charts=tuple(charts_of(fewer, budget_bytes)),
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
                *("none" if each is None else plain(each) for each in row),
            )
            for number, row in enumerate(rows)
        ),
    )
