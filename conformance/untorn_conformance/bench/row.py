"""One measured line: ours, the floor or peer beside it, and whether the goal is met."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

from untorn_conformance.bench.timing import Samples


class Unit(StrEnum):
    """What a row's numbers count."""

    US = "us"
    MS = "ms"
    S = "s"
    MB = "MB"
    MIB = "MiB"
    DECODES = "decodes"
    RUNS = "runs"
    PER_S = "/s"


_PER_UNIT = {Unit.US: 1e-6, Unit.MS: 1e-3}  # of a second; what is not here is measured as it is


class Of(StrEnum):
    """Which number of a row a goal is about."""

    RATIO = "ratio"
    SPEEDUP = "speedup"
    MEDIAN = "median"
    RATE = "rate"
    P99 = "p99"


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on one number: at most `limit`, or for a speedup or a rate at least `limit`.

    A median or p99 is bounded in the row's own unit.
    """

    of: Of
    limit: float

    def text(self, unit: Unit) -> str:
        """The bound as people read it."""
        match self.of:
            case Of.RATIO:
                return f"<= {self.limit:g}x"
            case Of.SPEEDUP:
                return f">= {self.limit:g}x faster"
            case Of.MEDIAN:
                return f"<= {self.limit:g} {unit}"
            case Of.RATE:
                return f">= {self.limit:g} {unit}"
            case Of.P99:
                return f"p99 <= {self.limit:g} {unit}"

    def met(self, row: Row) -> bool | None:
        """Whether `row` keeps the bound; None if it lacks the number."""
        if self.of is Of.SPEEDUP:
            return None if row.ratio is None else row.ratio * self.limit <= 1
        if self.of is Of.RATE:
            return None if row.median is None else row.median >= self.limit
        number = {Of.RATIO: row.ratio, Of.MEDIAN: row.median, Of.P99: row.p99}[self.of]
        return None if number is None else number <= self.limit


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Numbers in `unit`; `ratio` is ours to the floor's, so below 1 is faster than the floor.

    `goal` is empty where a row only compares; `met` None with a goal means not measured.
    """

    name: str
    unit: Unit
    median: float | None = None
    p99: float | None = None
    floor_name: str = ""
    floor_median: float | None = None
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None
    note: str = ""

    def to_json(self) -> dict[str, object]:
        """The row as plain values."""
        return asdict(self)


def measured(
    name: str,
    unit: Unit,
    ours: Samples,
    *,
    floor: tuple[str, Samples] | None = None,
    goal: Goal | None = None,
    tail: bool = False,
    note: str = "",
) -> Row:
    """A row from samples (in seconds for a unit of time), judged; `tail` adds the p99."""
    scale = _PER_UNIT.get(unit, 1.0)
    median = ours.median / scale
    floor_median = None if floor is None else floor[1].median / scale
    row = Row(
        name=name,
        unit=unit,
        median=median,
        p99=ours.p99 / scale if tail else None,
        floor_name="" if floor is None else floor[0],
        floor_median=floor_median,
        ratio=median / floor_median if floor_median else None,
        goal="" if goal is None else goal.text(unit),
        note=note,
    )
    if goal is None:
        return row
    return Row(**{**row.to_json(), "met": goal.met(row)})  # type: ignore[arg-type]


def not_measured(name: str, unit: Unit, why: str, goal: Goal | None = None) -> Row:
    """A row without numbers, and why."""
    return Row(name=name, unit=unit, goal="" if goal is None else goal.text(unit), note=why)
