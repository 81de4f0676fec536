"""Where and how much `untorn bench explore` measures, and on which processor.

Rule 1: what one core does is measured with supervisor, keeper and workers all pinned to that core:
        a keeper inherits the processors of whoever starts it, and its workers inherit its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from untorn_stress.grain import Grain
from untorn_stress.laboratory import Laboratory

from untorn_conformance import registry, subjects
from untorn_conformance.bench.plan import Say

REFERENCE: Final = "reference"
SPECIMENS: Final[Mapping[str, str]] = {
    "first_posted": "py:untorn_conformance.specimens.first_posted:factory",
    "after_review": "py:untorn_conformance.specimens.after_review:factory",
}
"""The seed's cache, as it was first posted and after its review: short name to --backend."""


KEYS: Final[Mapping[str, str]] = {
    "schedules_per_s": "schedules a second of the reference's two writers on one core",
    "schedules_per_s_specimen": "the same of the specimen's",
    "runs_made_per_s": "those of the reference that processes ran, a second",
    "runs_made_per_s_specimen": "the same of the specimen's",
    "crash_states_per_s": "distinct states of everybody's death that are judged, a second",
    "fault_sites_per_s": "errnos at calls of the reference's lone writer, a second on one core",
    "gated_call_us": "what a gated stat costs on one core, in us",
    "reduction_factor": "runs without reduction to runs with it, of the plan's first search",
    "seconds_to_finding": "by finding: seconds from a cold start, null if it was not found",
    "peak_supervisor_mib": "peak memory of the supervising process",
    "peak_tree_mib": "and with all that it started",
    "worker_start_ms": "fork, open and gate of one worker",
    "restore_ms": "putting the tree back",
    "missed": "a sentence for each goal that was missed or not measured",
}
"""The keys of the JSON document beside schema, machine, plan and rows."""


class MeasureError(Exception):
    """There is nothing to measure: a search or a process went otherwise than it should."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """One bounded search: a backend, a scenario from its natural tree, and its preemptions."""

    backend: str
    scenario: str
    preemptions: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ExplorePlan:
    """Sizes of one run.

    `rounds` is how often the cases take turns. A turn is at most `runs` schedules, `calls` gated
    calls, `starts` workers, or one process that explores. `learning_runs` is how long a finding is
    looked for before it is timed, `memory_runs` how many schedules memory is watched for.
    `reductions` are the searches that are made with and without reduction, `crashing` the lone
    programs whose crash states are judged.
    """

    rounds: int
    runs: int
    calls: int
    starts: int
    learning_runs: int
    memory_runs: int
    reductions: tuple[Search, ...]
    crashing: tuple[str, ...]


_REPAIR_1: Final = Search(backend=SPECIMENS["first_posted"], scenario="repair", preemptions=1)

FULL: Final = ExplorePlan(
    rounds=5,
    runs=1_300,
    calls=2_000,
    starts=50,
    learning_runs=300,
    memory_runs=300,
    reductions=(
        Search(backend=SPECIMENS["first_posted"], scenario="repair", preemptions=2),
        _REPAIR_1,
        Search(backend=SPECIMENS["first_posted"], scenario="writer-writer", preemptions=2),
        Search(backend=SPECIMENS["first_posted"], scenario="reader-collector", preemptions=2),
        Search(backend=REFERENCE, scenario="writer-writer", preemptions=1),
    ),
    crashing=("collect-alone", "repair-alone", "adopt-alone", "publish-alone", "lookup-alone"),
)

QUICK: Final = ExplorePlan(
    rounds=1,
    runs=8,
    calls=100,
    starts=5,
    learning_runs=80,
    memory_runs=10,
    reductions=(_REPAIR_1,),
    crashing=("publish-alone",),
)


TINY: Final = ExplorePlan(
    rounds=1,
    runs=2,
    calls=10,
    starts=1,
    learning_runs=45,
    memory_runs=2,
    reductions=(_REPAIR_1,),
    crashing=("publish-alone",),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Where one run works: an empty directory of its own, what to do, and whom to tell."""

    home: Path
    plan: ExplorePlan
    say: Say

    def fresh(self, name: str) -> Path:
        """Make an empty directory below the run's own."""
        directory = self.home / name
        directory.mkdir(mode=0o700)
        return directory


@contextmanager
def laboratory(site: Site, backend: str, grain: Grain = Grain.METADATA) -> Iterator[Laboratory]:
    """The backend under the gate, as `untorn explore` has it. Raises BackendError."""
    spec = registry.parse(backend)
    subject = subjects.subject_of(spec, subjects.ask_hello(spec, site.home))
    with Laboratory(subject, base=site.home, grain=grain) as opened:
        yield opened


def one_core() -> int:
    """The processor to pin to: the last that we may use, as interrupts rather go to the first."""
    return max(os.sched_getaffinity(0))


@contextmanager
def pinned(cores: set[int] | None = None) -> Iterator[None]:
    """Keep this process, and what it starts meanwhile, on `cores`, or on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or {one_core()})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def environment(**more: str) -> dict[str, str]:
    """The environment of a Python process that can import what we can."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**os.environ, "PYTHONPATH": path, **more}
