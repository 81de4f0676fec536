"""Seconds from a cold start to a finding: `untorn explore` as a process of its own.

Rule 1: a first, unmeasured process learns at which schedule the finding comes. The measured ones
        have that schedule as their budget, so that they end with the finding: written and drawn.
Rule 2: nothing is configured: the backend is named, and for a collector beside a reader the
        scenario.
Rule 3: a process that ends without the finding is a row without a number, that says what it found.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from untorn_stress.token import Token

from untorn_conformance.bench import explore_process
from untorn_conformance.bench.explore_site import SPECIMENS, MeasureError, Site
from untorn_conformance.bench.row import Goal, Of, Row, Unit, measured, not_measured
from untorn_conformance.bench.timing import Case, interleave, seconds

_GOAL: Final = Goal(Of.MEDIAN, 3)
_START: Final = "start and imports alone (explore --list)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sought:
    """What is looked for: a row's name, a backend, further options, a requirement and rule.

    Without a requirement it is the first finding, whichever it is.
    """

    name: str
    specimen: str
    options: tuple[str, ...] = ()
    requirement: str = ""
    rule: str = ""

    def among(self, document: dict[str, Any]) -> dict[str, Any] | None:
        """The finding in what `untorn explore --json` printed."""
        for found in document["found"]:
            if not self.requirement or (
                (found["requirement"], found["rule"]) == (self.requirement, self.rule)
            ):
                return dict(found)
        return None


SOUGHT: Final = (
    *(
        Sought(
            name=f"check-then-remove race, {specimen}",
            specimen=specimen,
            requirement="P2",
            rule="winners",
        )
        for specimen in SPECIMENS
    ),
    *(
        Sought(
            name=f"collector against reader, {specimen}",
            specimen=specimen,
            options=("--scenario", "reader-collector"),
        )
        for specimen in SPECIMENS
    ),
)


def measure(site: Site) -> list[Row]:
    """A row for each finding that is sought."""
    learned: dict[Sought, tuple[int, str]] = {}
    rows: dict[Sought, Row] = {}
    home = site.fresh("findings")
    for sought in SOUGHT:
        site.say(f"looking for the {sought.name}")
        document = _explore(home, sought, site.plan.learning_runs)
        if (found := sought.among(document)) is None:
            rows[sought] = not_measured(sought.name, Unit.S, _told(document), _GOAL)
        else:
            learned[sought] = (runs_until(document, found), _of(found))
    cases: dict[str, Case] = {
        _START: lambda: [seconds(lambda: explore_process.wait_for(home, "--list"))]
    }
    for sought, (runs, _) in learned.items():
        cases[sought.name] = _finding(home, sought, runs)
    site.say("seconds to each finding from a cold start")
    samples = interleave(cases, site.plan.rounds, warm_up=False)
    for sought, (runs, what) in learned.items():
        rows[sought] = measured(
            sought.name, Unit.S, samples[sought.name],
            floor=(_START, samples[_START]), goal=_GOAL,
            note=f"{what}, schedule {runs} of the process; interpreter, harvest, replay and file "
            "included; not pinned",
        )  # fmt: skip
    return [rows[sought] for sought in SOUGHT]


def _finding(home: Path, sought: Sought, runs: int) -> Case:
    def turn() -> Sequence[float]:
        start = time.perf_counter()
        document = _explore(home, sought, runs)
        taken_s = time.perf_counter() - start
        if sought.among(document) is None:
            raise MeasureError(f"{sought.name}: another time {_told(document)}")
        return [taken_s]

    return turn


def runs_until(document: dict[str, Any], found: dict[str, Any]) -> int:
    """How many schedules all searches had made when this was found."""
    wanted = (found["scenario"], found["tree"], Token.decode(found["token"]).bound)
    before = 0
    for search in document["searches"]:
        if (search["scenario"], search["tree"], search["scheduler"]) == wanted:
            return before + int(min(found["after_runs"], search["runs"]))
        before += search["runs"]
    raise MeasureError(f"{_of(found)} is of no search")


def _of(found: dict[str, Any]) -> str:
    return f"{found['requirement']} {found['rule']} in {found['scenario']} from {found['tree']}"


def _told(document: dict[str, Any]) -> str:
    found = ", ".join(map(_of, document["found"])) or "nothing"
    return f"found {found} in {document['runs']} schedules"


def _explore(home: Path, sought: Sought, runs: int) -> dict[str, Any]:
    backend = ("--backend", SPECIMENS[sought.specimen])
    return explore_process.document(home, *backend, *sought.options, "--budget", str(runs))
