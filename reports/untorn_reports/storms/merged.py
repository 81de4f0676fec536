"""The storms of a campaign one after another, as if they had been one: for the same charts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from untorn_reports.storms.document import (
    Band,
    CheckerCount,
    Delivered,
    Series,
    Storm,
    StormFinding,
    series_of,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Merged:
    """``offsets_s`` is where each shard's storm begins; ``left_out`` are shards of other bins."""

    series: Series
    bands: tuple[Band, ...]
    offsets_s: Mapping[int | None, float]
    left_out: tuple[int, ...]


def one_after_another(storms: Mapping[int, Storm]) -> Merged:
    """Put the series of shards together in the order of their numbers."""
    measured = {number: storms[number] for number in sorted(storms) if _bins(storms[number])}
    bin_s = next((storm.series.bin_s for storm in measured.values()), 1.0)
    same = {number: storm for number, storm in measured.items() if storm.series.bin_s == bin_s}
    offsets: dict[int | None, float] = {}
    bands: list[Band] = []
    values: dict[str, list[float | None]] = {name: [] for name in series_of(Series(bin_s=bin_s))}
    at_s = 0.0
    for number, storm in same.items():
        offsets[number] = at_s
        bins = _bins(storm)
        for name, own in series_of(storm.series).items():
            values[name] += own or (None,) * bins
        bands += _moved(storm.bands, at_s, bins * bin_s)
        at_s += bins * bin_s
    kept = {name: tuple(own) for name, own in values.items() if any(v is not None for v in own)}
    return Merged(
        series=Series(bin_s=bin_s, **kept),
        bands=tuple(bands),
        offsets_s=offsets,
        left_out=tuple(number for number in measured if number not in same),
    )


def budget_of(storms: Iterable[Storm]) -> int | None:
    """The budget that all of them had; None where they had several, or none."""
    budgets = {storm.budget_bytes for storm in storms}
    return budgets.pop() if len(budgets) == 1 else None


def strikes_of(storms: Iterable[Storm]) -> dict[str, Delivered]:
    """All strikes added up."""
    total: dict[str, Delivered] = {}
    for storm in storms:
        for name, each in storm.strikes.items():
            so_far = total.get(name, Delivered(tried=0, bit=0))
            total[name] = Delivered(tried=so_far.tried + each.tried, bit=so_far.bit + each.bit)
    return total


def checkers_of(storms: Iterable[Storm]) -> dict[str, CheckerCount]:
    """All checkers added up."""
    total: dict[str, CheckerCount] = {}
    for storm in storms:
        for name, each in storm.checkers.items():
            so_far = total.get(name, CheckerCount())
            total[name] = CheckerCount(
                title=so_far.title or each.title,
                requirements=tuple(dict.fromkeys((*so_far.requirements, *each.requirements))),
                rounds=so_far.rounds + each.rounds,
                unknown=so_far.unknown + each.unknown,
                findings=so_far.findings + each.findings,
                judged=_sum(so_far.judged, each.judged),
            )
    return total


def _sum(first: int | None, second: int | None) -> int | None:
    return second if first is None else first + (second or 0)


def operations_of(storms: Iterable[Storm]) -> dict[str, dict[str, int]]:
    """All operations added up: by verb, by outcome."""
    total: dict[str, dict[str, int]] = {}
    for storm in storms:
        for verb, outcomes in storm.operations.items():
            own = total.setdefault(verb, {})
            for outcome, number in outcomes.items():
                own[outcome] = own.get(outcome, 0) + number
    return total


def located(findings: Iterable[StormFinding], merged: Merged) -> list[StormFinding]:
    """The findings at their places in the charts; those of shards without a place have none."""
    return [replace(each, at_s=_at_s(each, merged)) for each in findings]


def _at_s(finding: StormFinding, merged: Merged) -> float | None:
    if finding.at_s is None or finding.shard not in merged.offsets_s:
        return None
    return finding.at_s + merged.offsets_s[finding.shard]


def _bins(storm: Storm) -> int:
    return max(map(len, series_of(storm.series).values()))


def _moved(bands: Iterable[Band], by_s: float, length_s: float) -> Iterable[Band]:
    for band in bands:
        end_s = length_s if band.end_s is None else band.end_s
        yield Band(name=band.name, begin_s=band.begin_s + by_s, end_s=end_s + by_s)
