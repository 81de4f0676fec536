"""`untorn explore`: from what was asked to text, document and exit code.

Rule 1: an interrupt decides first (130), then what was found (1), then what broke (7), then what
        stayed undecided (6).
Rule 2: every finding is written as a file that replays before the search goes on; an interrupt
        loses none of them, and neither does a disk that takes no file.
Rule 3: the last line of every failure is the line that replays it, and of every search that was not
        brought to its end, why.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from untorn_fixtures.errors import FixtureError
from untorn_reports.run_directory import RunDirectory, default_base
from untorn_stress import counterexample, timeline, tree_text
from untorn_stress.counterexample import Counterexample, MadeWith
from untorn_stress.explore import Budget
from untorn_stress.explorer import OUT_OF_HAND, Exploration, Explored, Found
from untorn_stress.gate import availability
from untorn_stress.laboratory import Laboratory, Patience, TreeUnavailableError
from untorn_stress.scenario import Scenario
from untorn_stress.scenarios import ALL, NATURAL, TREES, scenario
from untorn_stress.token import TokenError

from untorn_conformance import subjects
from untorn_conformance.done import (
    BROKEN,
    FOUND,
    INTERRUPTED,
    SCHEMA,
    UNDECIDED,
    Done,
    UnwritableError,
    code_of,
    refused,
)
from untorn_conformance.itinerary import Visit, Wishes, chosen, extracts, passed_over, visits
from untorn_conformance.wire import to_plain

Draw = Callable[..., str]
Tell = Callable[[str], None]
Opened = Callable[..., AbstractContextManager[Laboratory]]

_BUDGET_ENDED: Final = "the budget ended before the search did"


@dataclass(slots=True)
class _Kept:
    """A finding and its file, or the ``problem`` for which there is none."""

    found: Found
    path: Path | None = None
    problem: str = ""

    def write(self, folder: _Folder) -> None:
        """Write it; what hinders that takes nothing from what was found."""
        try:
            self.path = write_finding(folder.path(), self.found)
        except OSError as error:
            self.problem = str(error)


@dataclass(slots=True)
class _Journal:
    """What has come of the searches so far."""

    subject: str
    folder: _Folder
    explored: list[Explored] = field(default_factory=list)
    found: dict[tuple[str, str, str], _Kept] = field(default_factory=dict)
    not_applicable: list[str] = field(default_factory=list)
    trouble: str = ""
    trouble_code: int = 0

    def keep(self, found: Found) -> None:
        """Write a finding, if it is the first of its kind in its scenario."""
        key = (found.run.scenario, found.finding.requirement, found.finding.rule)
        if key not in self.found:
            kept = self.found[key] = _Kept(found)
            kept.write(self.folder)

    def leave_open(self, why: str) -> None:
        """Note that not all was searched that was to be."""
        self.trouble, self.trouble_code = why, UNDECIDED

    def stop(self, error: Exception) -> None:
        """Note what ended it all early."""
        self.trouble = str(error) or type(error).__name__
        self.trouble_code = code_of(error)


def explore_command(
    *,
    backend: str,
    scenarios: tuple[str, ...],
    tree: str | None,
    scheduler: str,
    preemptions: int | None,
    kills: int = 0,
    errnos: int = 0,
    budget_runs: int | None,
    budget_s: float | None,
    seed: int,
    grain: str,
    out: Path | None,
    draw: Draw,
    progress: Tell,
    patience: Patience = Patience(),  # noqa: B008 (a frozen value)
) -> Done:
    """Explore, and say what came of it.

    Raises TokenError for a tree that there is not, and UnwritableError for such an ``out``.
    """
    folder = _Folder(out, backend)
    folder.check()
    gate = availability.probe()
    if not gate.ok:
        return refused(gate)
    wishes = Wishes(
        scenarios=scenarios,
        tree=tree,
        scheduler=scheduler,
        preemptions=preemptions,
        kills=kills,
        errnos=errnos,
        runs=budget_runs,
        seconds=budget_s,
        seed=seed,
    )
    journal = _Journal(backend, folder)
    opened = partial(subjects.laboratory, backend, seed=seed, grain=grain, patience=patience)
    try:
        _visit_all(opened, wishes, journal, progress)
    except TreeUnavailableError as error:
        if tree is not None and tree not in NATURAL:
            raise TokenError(str(error)) from error
        journal.stop(error)
    except (*OUT_OF_HAND, FixtureError) as error:
        journal.stop(error)
    except KeyboardInterrupt:
        journal.trouble, journal.trouble_code = "interrupted", INTERRUPTED
    return _conclude(journal, draw)


def _visit_all(opened: Opened, wishes: Wishes, journal: _Journal, progress: Tell) -> None:
    """Search all that was wished for; what extracts last, each in a laboratory of its own."""
    purse = _Purse(wishes.runs, wishes.seconds)
    with opened() as laboratory:
        journal.subject = laboratory.subject.identity
        able, journal.not_applicable = chosen(wishes, laboratory.subject.capabilities)
        if not able:
            journal.leave_open(f"{laboratory.subject.spec} declares too little: {_needs(journal)}")
        plain = visits(laboratory, wishes, [each for each in able if not extracts(each)])
        _explore_all(laboratory, plain, purse, journal, progress)
        if wishes.tree is None:
            journal.not_applicable += passed_over(laboratory, able)
    for each in () if journal.trouble else filter(extracts, able):
        with opened(clip=subjects.clip_of(each)) as laboratory:
            _explore_all(laboratory, visits(laboratory, wishes, [each]), purse, journal, progress)


def _needs(journal: _Journal) -> str:
    """What the scenarios need that were left out."""
    return "; ".join(
        f"{name} needs {', '.join(sorted(scenario(name).needs))}" for name in journal.not_applicable
    )


def _explore_all(
    laboratory: Laboratory,
    visited: Iterable[Visit],
    purse: _Purse,
    journal: _Journal,
    progress: Tell,
) -> None:
    """Make one search after the other, until something ends them all."""
    for visit in () if journal.trouble else visited:
        where = f"{visit.scenario.name} from {visit.start.name}"
        if purse.is_spent(journal.explored):
            journal.leave_open(f"{_BUDGET_ENDED}: {where} was not begun")
            return
        explored = _explore(laboratory, visit, purse, journal, progress)
        journal.explored.append(explored)
        if not visit.was_made(explored) and not _doubt(explored):
            journal.leave_open(f"{_BUDGET_ENDED}: {explored.evidence.detail}")
            return


def _explore(
    laboratory: Laboratory, visit: Visit, purse: _Purse, journal: _Journal, progress: Tell
) -> Explored:
    return Exploration(
        laboratory,
        visit.scenario,
        visit.start,
        visit.scheduler,
        described=visit.described,
        budget=purse.left(journal.explored),
        progress=progress,
        on_found=journal.keep,
        kills=visit.kills > 0,
        errnos=visit.errnos > 0,
    ).run()


class _Purse:
    """The user's budget, over all searches."""

    def __init__(self, runs: int | None, seconds: float | None) -> None:
        self._runs = runs
        self._end_s = None if seconds is None else time.monotonic() + seconds

    def left(self, explored: Iterable[Explored]) -> Budget:
        """What one more search may cost."""
        runs = None
        if self._runs is not None:
            runs = max(0, self._runs - sum(each.runs for each in explored))
        seconds = None if self._end_s is None else max(0.0, self._end_s - time.monotonic())
        return Budget(runs=runs, seconds=seconds)

    def is_spent(self, explored: Iterable[Explored]) -> bool:
        """Whether nothing is left."""
        left = self.left(explored)
        return left.runs == 0 or left.seconds == 0.0


class _Folder:
    """Where counterexamples go; one that nobody named is made when there is the first."""

    def __init__(self, out: Path | None, backend: str) -> None:
        self._out = out
        self._backend = backend

    def check(self) -> None:
        """See that files can be written where the user wants them. Raises UnwritableError."""
        if self._out is None:
            return
        try:
            self._out.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._out):
                pass
        except OSError as error:
            where = ascii(str(self._out))
            raise UnwritableError(f"--out {where} cannot be written to: {error}") from error

    def path(self) -> Path:
        """The folder, which exists from now on."""
        if self._out is None:
            base = default_base(Path.cwd())
            self._out = RunDirectory.create(base, f"explore-{self._backend}").path
        self._out.mkdir(parents=True, exist_ok=True)
        return self._out


def write_finding(folder: Path, found: Found) -> Path:
    """Write a finding as a file that replays; rule, scenario and tree name it."""
    path = path_of(folder, found)
    counterexample.write(
        path,
        Counterexample(
            token=found.token,
            run=found.run,
            tree=tree_text.to_json(found.start.tree),
            made_with=MadeWith.here(),
        ),
    )
    return path


def path_of(folder: Path, found: Found) -> Path:
    """Where a finding is written."""
    finding, run = found.finding, found.run
    return folder / f"{finding.requirement}-{finding.rule}-{run.scenario}-{run.tree}.json"


# --- what is said ----------------------------------------------------------------------------


def _exit_code(journal: _Journal) -> int:
    if journal.trouble_code == INTERRUPTED:
        return INTERRUPTED
    if journal.found:
        return FOUND
    if journal.trouble_code == BROKEN or any(each.broken for each in journal.explored):
        return BROKEN
    return UNDECIDED if journal.trouble_code or any(map(_doubt, journal.explored)) else 0


def _doubt(explored: Explored) -> str:
    """Why a search without a finding is no answer, or nothing."""
    return explored.undecided or explored.nondeterministic or "; ".join(explored.unobserved)


def _conclude(journal: _Journal, draw: Draw) -> Done:
    code = _exit_code(journal)
    lines = [_line_of(each) for each in journal.explored]
    if journal.not_applicable:
        lines.append(f"not applicable: {', '.join(journal.not_applicable)}")
    if journal.trouble and journal.found:
        lines.append(f"stopped: {journal.trouble}")
    for kept in journal.found.values():
        replay = counterexample.replay_line(kept.found.token)
        where = f"written to {kept.path}" if kept.path else f"NOT WRITTEN: {kept.problem}"
        lines += ["", where, draw(kept.found.run, replay=replay)]
    runs = sum(each.runs for each in journal.explored)
    seconds = sum(each.seconds for each in journal.explored)
    if not journal.found:
        lines.append(_without_finding(journal, code, f"{runs} schedules in {seconds:.1f} s"))
    document = {
        "schema": SCHEMA,
        "backend": journal.subject,
        "searches": [_plain(each) for each in journal.explored],
        "not_applicable": journal.not_applicable,
        "stopped": journal.trouble,
        "found": [_plain_found(kept) for kept in journal.found.values()],
        "runs": runs,
        "seconds": seconds,
    }
    return Done(exit_code=code, text="\n".join(lines), document=document)


def _without_finding(journal: _Journal, code: int, effort: str) -> str:
    doubts = [text for text in map(_doubt, journal.explored) if text]
    why = journal.trouble or next(iter(doubts), "")
    word = {BROKEN: "no verdict", UNDECIDED: "UNKNOWN"}.get(code, "stopped")
    told = f"{effort}: nothing was found"
    return f"{told}\n{word}: {why}" if code else told


def _line_of(explored: Explored) -> str:
    where = f"{explored.scenario:<28} {explored.tree:<17} {explored.scheduler:<22}"
    if explored.found:
        told = ", ".join(
            f"{each.finding.requirement} {each.finding.rule} after {each.runs} runs, "
            f"{each.seconds:.2f} s"
            for each in explored.found
        )
    else:
        told = explored.evidence.kind.value
    doubt = _doubt(explored)
    doubt = f"  UNKNOWN: {doubt.splitlines()[0]}" if doubt else ""
    return f"{where} {explored.runs:>6} runs  {told}{doubt}"


def _plain(explored: Explored) -> dict[str, Any]:
    return {
        "scenario": explored.scenario,
        "tree": explored.tree,
        "scheduler": explored.scheduler,
        "runs": explored.runs,
        "cut": explored.cut,
        "seconds": round(explored.seconds, 3),
        "completed_preemptions": explored.completed,
        "evidence": to_plain(explored.evidence),
        "undecided": explored.undecided,
        "nondeterministic": explored.nondeterministic,
        "unobserved": list(explored.unobserved),
    }


def _plain_found(kept: _Kept) -> dict[str, Any]:
    found = kept.found
    return {
        **to_plain(found.finding),
        "scenario": found.run.scenario,
        "tree": found.run.tree,
        "after_runs": found.runs,
        "after_s": round(found.seconds, 3),
        "token": found.token.encode(),
        "file": None if kept.path is None else str(kept.path),
        "not_written": kept.problem,
        "replay": counterexample.replay_line(found.token),
        "run": timeline.to_json(found.run),
    }


def _bound_of(each: Scenario) -> str:
    return "drawn" if extracts(each) else f"<= {each.preemptions}"


def list_command(*, backend: str) -> Done:
    """Name scenarios and natural trees; nothing is run."""
    width = max(len(each.name) for each in ALL)
    lines = ["scenarios (worker A, B, C in turn; bound of preemptions from the natural tree):"]
    lines += [
        f"  {each.name:<{width}}  {each.tree:<13} {_bound_of(each):<5} {each.title}" for each in ALL
    ]
    lines += [
        "those with one worker are run by name, and say something with --kills 1 or --errnos 1"
    ]
    lines += [
        "trees: " + ", ".join(TREES) + ", and harvest-... from the backend's own crash states"
    ]
    document = {
        "schema": SCHEMA,
        "backend": backend,
        "scenarios": [
            {
                "name": each.name,
                "title": each.title,
                "tree": each.tree,
                "preemptions": each.preemptions,
                "locks": each.locks.value,
                "needs": sorted(need.value for need in each.needs),
                "requirements": list(each.requirements),
            }
            for each in ALL
        ],
        "trees": list(TREES),
    }
    return Done(exit_code=0, text="\n".join(lines), document=document)
