"""What `untorn bench explore` measures, in the order of the goals, and the numbers people quote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from untorn_stress.explorer import OUT_OF_HAND
from untorn_stress.laboratory import TreeUnavailableError

from untorn_conformance.bench import (
    explore_calls,
    explore_crashes,
    explore_faults,
    explore_finding,
    explore_memory,
    explore_rate,
    explore_reduction,
    explore_start,
)
from untorn_conformance.bench.explore_site import KEYS, MeasureError, Site
from untorn_conformance.bench.row import Row, Unit

NOT_MEASURED: Final = (MeasureError, TreeUnavailableError, *OUT_OF_HAND)
"""What ends the whole command: there is no table then."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """All rows, and the numbers that a program wants without reading rows (see ``KEYS``).

    `missed` has a sentence for each goal that was missed or could not be measured.
    """

    rows: list[Row]
    headline: dict[str, object]
    missed: list[str]


def measure(site: Site) -> Measured:
    """Every row. Raises what NOT_MEASURED has."""
    rates = explore_rate.measure(site)
    crashes = explore_crashes.measure(site)
    faults = explore_faults.measure(site)
    calls = explore_calls.measure(site)
    reductions = explore_reduction.measure(site)
    findings = explore_finding.measure(site)
    memory = explore_memory.measure(site)
    starts = explore_start.measure(site)
    rows = [*rates, *crashes, *faults, *calls, *reductions, *findings, *memory, *starts]
    first = reductions[0]
    headline: dict[str, object] = {
        "schedules_per_s": _rate(rates, "schedules", "reference"),
        "schedules_per_s_specimen": _rate(rates, "schedules", "specimen"),
        "runs_made_per_s": _rate(rates, "runs made", "reference"),
        "runs_made_per_s_specimen": _rate(rates, "runs made", "specimen"),
        "crash_states_per_s": crashes[0].median,
        "fault_sites_per_s": faults[0].median,
        "gated_call_us": calls[0].median,
        "reduction_factor": None if first.ratio is None else 1 / first.ratio,
        "seconds_to_finding": {row.name: row.median for row in findings},
        "peak_supervisor_mib": memory[0].median,
        "peak_tree_mib": memory[1].median,
        "worker_start_ms": starts[0].median,
        "restore_ms": starts[-1].median,
        "missed": missed(rows),
    }
    assert headline.keys() == KEYS.keys()
    return Measured(rows=rows, headline=headline, missed=missed(rows))


def _rate(rates: list[Row], of: str, subject: str) -> float | None:
    """The first row of that measure and subject."""
    return next(row.median for row in rates if row.name.startswith(of) and subject in row.name)


def missed(rows: list[Row]) -> list[str]:
    """A sentence for each goal that was missed or could not be measured."""
    said = []
    for row in rows:
        if not row.goal or row.met:
            continue
        if row.median is None or row.met is None:
            said.append(f"{row.name}: not measured; {row.note}")
        elif row.unit is Unit.RUNS:
            said.append(f"{row.name}: {row.note}")
        else:
            said.append(f"{row.name}: {row.median:.3g} {row.unit}, where the goal is {row.goal}")
    return said
