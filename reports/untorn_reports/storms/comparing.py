"""Two storms or campaigns side by side, and the conditions on which a comparison fails.

Rule 1: the first is what was, the second what is; a ratio is the second's to the first's.
Rule 2: a condition on what one of them does not tell cannot be judged. That is an error, no pass.
Rule 3: findings are the same if they are of one checker and their messages differ in numbers and
        paths only: ids, times, attempts and directories are never the same twice.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from untorn_reports.printable import printable
from untorn_reports.storms import merged as merging
from untorn_reports.storms.bins import hit_ratio, median
from untorn_reports.storms.document import Campaign, Storm, StormFinding, kind_of
from untorn_reports.storms.files import CampaignRun, StormRun

SCHEMA: Final = "untorn/storm-comparison/1"
_COUNTED: Final = ("findings", "unknown")
_RATIOS: Final = ("throughput", "p50", "p99")
_CONDITION: Final = re.compile(r"([a-z0-9]+)(?:([<>])([0-9]+(?:\.[0-9]+)?))?")
USAGE: Final = (
    "findings, unknown, findings>N, unknown>N, or one of throughput, p50, p99 with < or > and a "
    "ratio, such as p99>1.5"
)


class ConditionError(ValueError):
    """What was asked for is no condition."""


class UnjudgedError(Exception):
    """A condition is on what one of the two does not tell."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What is compared of a run; None where it does not tell.

    ``p50_ms`` and ``p99_ms`` are the medians of those of its bins, ``unknown`` how many times a
    checker came to no answer.
    """

    run: str
    kind: str
    backend: str
    verdict: str
    findings: tuple[StormFinding, ...]
    unknown: int | None
    throughput: float | None
    p50_ms: float | None
    p99_ms: float | None
    hit_ratio: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """When a comparison fails: ``sign`` is "<" or ">", ``limit`` a number or a ratio."""

    text: str
    name: str
    sign: str
    limit: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Holding:
    """A condition, the value that it was put to, and whether it holds."""

    condition: Condition
    value: float
    holds: bool


def measured(run: str, held: StormRun | CampaignRun) -> Measured:
    """What a storm or a campaign tells that can be compared."""
    whole: Storm | Campaign
    if isinstance(held, StormRun):
        whole, storms, findings = held.storm, [held.storm], held.storm.findings
    else:
        whole, findings = held.campaign, tuple(held.findings)
        storms = [each.storm for _, each in sorted(held.storms.items())]
    series = merging.one_after_another(dict(enumerate(storms))).series
    length_s = sum(storm.duration_s for storm in storms)
    operations = sum(sum(own.values()) for own in merging.operations_of(storms).values())
    checkers = merging.checkers_of(storms)
    return Measured(
        run=run,
        kind="storm" if isinstance(held, StormRun) else "campaign",
        backend=whole.backend,
        verdict=whole.verdict.value,
        findings=findings,
        unknown=sum(each.unknown for each in checkers.values()) if checkers else None,
        throughput=operations / length_s if operations and length_s > 0 else None,
        p50_ms=median(series.p50_ms),
        p99_ms=median(series.p99_ms),
        hit_ratio=hit_ratio(series),
    )


def new_findings(before: Measured, after: Measured) -> list[StormFinding]:
    """Those of the second that the first does not have."""
    known = {kind_of(each) for each in before.findings}
    return [each for each in after.findings if kind_of(each) not in known]


# --- conditions ----------------------------------------------------------------------------------


def conditions_of(text: str) -> list[Condition]:
    """Read ``findings,p99>1.5``. Raises ConditionError."""
    return [_condition(each.strip()) for each in text.split(",")]


def _condition(text: str) -> Condition:
    found = _CONDITION.fullmatch(text)
    name, sign, limit = found.groups("") if found else ("", "", "")
    if name in _COUNTED and sign != "<":
        return Condition(text=text, name=name, sign=">", limit=float(limit or "0"))
    if name in _RATIOS and sign:
        return Condition(text=text, name=name, sign=sign, limit=float(limit))
    raise ConditionError(f"{text!a} is no condition; write {USAGE}")


def holdings_of(
    conditions: Sequence[Condition], before: Measured, after: Measured
) -> list[Holding]:
    """Put conditions to two runs. Raises UnjudgedError where one of the runs does not tell."""
    return [_holding(each, before, after) for each in conditions]


def _holding(condition: Condition, before: Measured, after: Measured) -> Holding:
    value = values_of(before, after)[condition.name]
    if value is None:
        raise UnjudgedError(
            f"{condition.text}: {condition.name} is not told by both {before.run} and {after.run}"
        )
    holds = value > condition.limit if condition.sign == ">" else value < condition.limit
    return Holding(condition=condition, value=value, holds=holds)


def values_of(before: Measured, after: Measured) -> dict[str, float | None]:
    """What conditions are put to: new findings, more unknowns, and ratios."""
    known = before.unknown is not None and after.unknown is not None
    return {
        "findings": float(len(new_findings(before, after))),
        "unknown": float((after.unknown or 0) - (before.unknown or 0)) if known else None,
        "throughput": _ratio(before.throughput, after.throughput),
        "p50": _ratio(before.p50_ms, after.p50_ms),
        "p99": _ratio(before.p99_ms, after.p99_ms),
    }


def _ratio(before: float | None, after: float | None) -> float | None:
    return after / before if before and after is not None else None


# --- as text and values --------------------------------------------------------------------------


def text(runs: Sequence[Measured], holdings: Sequence[Holding] = ()) -> str:
    """The runs in columns, what is new in the last, and the conditions; nothing to obey in it."""
    lines = [f"{number}  {run.backend}, {run.kind}: {run.verdict}   {run.run}"
             for number, run in enumerate(runs, 1)]  # fmt: skip
    lines += ["", *_columns(runs)]
    for number, run in enumerate(runs[1:], 2):
        new = Counter((each.checker, each.message) for each in new_findings(runs[0], run))
        lines += ["", f"new findings in {number}: {new.total() or 'none'}"]
        lines += [f"  {checker} {message}{_times(n)}" for (checker, message), n in new.items()]
    lines += [""] if holdings else []
    for each in holdings:
        lines.append(f"{'FAIL' if each.holds else 'well'}  {each.condition.text}: {each.value:.4g}")
    return "\n".join(printable(line).rstrip() for line in lines) + "\n"


def _times(number: int) -> str:
    return f" ({number} times)" if number > 1 else ""


def _columns(runs: Sequence[Measured]) -> Iterator[str]:
    rows: Mapping[str, list[float | None]] = {
        "findings": [float(len(run.findings)) for run in runs],
        "unknown": [None if run.unknown is None else float(run.unknown) for run in runs],
        "operations a second": [run.throughput for run in runs],
        "p50 (ms)": [run.p50_ms for run in runs],
        "p99 (ms)": [run.p99_ms for run in runs],
        "hit ratio": [run.hit_ratio for run in runs],
    }
    heads = "".join(f"{number:>14}" for number in range(1, len(runs) + 1))
    yield f"{'':<22}{heads}" + (f"{'2 to 1':>10}" if len(runs) == 2 else "")  # noqa: PLR2004
    for name, values in rows.items():
        cells = "".join(f"{_cell(each):>14}" for each in values)
        ratio = _ratio(*values) if len(values) == 2 else None  # noqa: PLR2004
        yield f"{name:<22}{cells}" + ("" if ratio is None else f"{ratio:>10.2f}")


def _cell(value: float | None) -> str:
    if value is None:
        return "not told"
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.3g}"  # noqa: PLR2004


def to_json(runs: Sequence[Measured], holdings: Sequence[Holding] = ()) -> dict[str, Any]:
    """The comparison as one JSON object."""
    return {
        "schema": SCHEMA,
        "runs": [
            {
                "run": run.run,
                "kind": run.kind,
                "backend": run.backend,
                "verdict": run.verdict,
                "findings": len(run.findings),
                "unknown": run.unknown,
                "operations_per_s": run.throughput,
                "p50_ms": run.p50_ms,
                "p99_ms": run.p99_ms,
                "hit_ratio": run.hit_ratio,
            }
            for run in runs
        ],
        "new_findings": [
            {"run": run.run, "checker": each.checker, "message": each.message}
            for run in runs[1:]
            for each in new_findings(runs[0], run)
        ],
        "conditions": [
            {"condition": each.condition.text, "value": each.value, "holds": each.holds}
            for each in holdings
        ],
    }
