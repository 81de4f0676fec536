"""`untorn explore` and `untorn replay`: from what was asked to text, document and exit code.

Rule 1: an interrupt decides first (130), then what was found (1), then what broke (7), then what
        stayed undecided (6).
Rule 2: every finding is written as a file that replays before the search goes on; an interrupt
        loses none of them.
Rule 3: the last line of every failure is the line that replays it, and of every search that was not
        brought to its end, why.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from untorn_reports.run_directory import RunDirectory, default_base
from untorn_stress import counterexample, timeline, tree_text
from untorn_stress.counterexample import Counterexample, MadeWith
from untorn_stress.explore import Budget
from untorn_stress.explorer import OUT_OF_HAND, Exploration, Explored, Found, leaves_open
from untorn_stress.gate import availability
from untorn_stress.gate.filter import Grain
from untorn_stress.gated import GatedSystem, Start
from untorn_stress.laboratory import Laboratory, Patience, TreeUnavailableError
from untorn_stress.run import Run
from untorn_stress.scenario import Scenario
from untorn_stress.scenarios import SCENARIOS, TREES, scenario
from untorn_stress.schedulers.protocol import ScheduleMismatchError
from untorn_stress.schedulers.replay import Replay
from untorn_stress.token import Token, TokenError, check_fits

from untorn_conformance import registry, subjects
from untorn_conformance.itinerary import Visit, Wishes, chosen, passed_over, visits
from untorn_conformance.wire import to_plain

SCHEMA: Final = "untorn/exploration/1"
_FOUND, _UNDECIDED, _BROKEN, _INTERRUPTED = 1, 6, 7, 130

Draw = Callable[..., str]
Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """What to print, and the exit code."""

    exit_code: int
    text: str
    document: dict[str, Any]


@dataclass(slots=True)
class _Journal:
    """What has come of the searches so far."""

    subject: str
    folder: _Folder
    explored: list[Explored] = field(default_factory=list)
    found: dict[tuple[str, str, str], tuple[Found, Path]] = field(default_factory=dict)
    not_applicable: list[str] = field(default_factory=list)
    trouble: str = ""
    trouble_code: int = 0

    def keep(self, found: Found) -> None:
        """Write a finding, if it is the first of its kind in its scenario."""
        key = (found.run.scenario, found.finding.requirement, found.finding.rule)
        if key not in self.found:
            self.found[key] = (found, write_finding(self.folder.path(), found))

    def stop(self, error: Exception) -> None:
        """Note what ended it all early."""
        self.trouble = str(error) or type(error).__name__
        self.trouble_code = _code_of(error)


def explore_command(
    *,
    backend: str,
    scenarios: tuple[str, ...],
    tree: str | None,
    scheduler: str,
    preemptions: int | None,
    budget_runs: int | None,
    budget_s: float | None,
    seed: int,
    grain: str,
    out: Path | None,
    draw: Draw,
    progress: Tell,
    patience: Patience = Patience(),  # noqa: B008 (a frozen value)
) -> Done:
    """Explore, and say what came of it. Raises TokenError for a tree that there is not."""
    refused = availability.probe()
    if not refused.ok:
        return _refused(refused)
    wishes = Wishes(
        scenarios=scenarios,
        tree=tree,
        scheduler=scheduler,
        preemptions=preemptions,
        runs=budget_runs,
        seed=seed,
    )
    journal = _Journal(backend, _Folder(out, backend))
    try:
        with _laboratory(backend, seed, grain, patience) as laboratory:
            able, journal.not_applicable = chosen(wishes, laboratory.subject.capabilities)
            journal.subject = laboratory.subject.identity
            budget = _Purse(budget_runs, budget_s)
            for visit in visits(laboratory, wishes, able):
                if budget.is_spent(journal.explored):
                    journal.trouble = "the budget ended before the search did"
                    journal.trouble_code = _UNDECIDED
                    break
                journal.explored.append(_explore(laboratory, visit, budget, journal, progress))
            if tree is None:
                journal.not_applicable += passed_over(laboratory, able)
    except TreeUnavailableError as error:
        if tree is not None and tree not in TREES:
            raise TokenError(str(error)) from error
        journal.stop(error)
    except OUT_OF_HAND as error:
        journal.stop(error)
    except KeyboardInterrupt:
        journal.trouble, journal.trouble_code = "interrupted", _INTERRUPTED
    return _conclude(journal, draw)


def _explore(
    laboratory: Laboratory, visit: Visit, budget: _Purse, journal: _Journal, progress: Tell
) -> Explored:
    return Exploration(
        laboratory,
        visit.scenario,
        visit.start,
        visit.scheduler,
        described=visit.described,
        budget=budget.left(journal.explored),
        progress=progress,
        on_found=journal.keep,
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
    """Where counterexamples go; made when there is the first."""

    def __init__(self, out: Path | None, backend: str) -> None:
        self._out = out
        self._backend = backend

    def path(self) -> Path:
        """The folder, which exists from now on."""
        if self._out is None:
            base = default_base(Path.cwd())
            self._out = RunDirectory.create(base, f"explore-{self._backend}").path
        self._out.mkdir(parents=True, exist_ok=True)
        return self._out


@contextmanager
def _laboratory(backend: str, seed: int, grain: str, patience: Patience) -> Iterator[Laboratory]:
    spec = registry.parse(backend)
    base = Path(tempfile.gettempdir())
    hello = subjects.ask_hello(spec, base, deadline_s=patience.step_deadline_s)
    with Laboratory(
        subjects.subject_of(spec, hello),
        base=base,
        seed=seed,
        grain=Grain(grain),
        patience=patience,
    ) as laboratory:
        yield laboratory


def write_finding(folder: Path, found: Found) -> Path:
    """Write a finding as a file that replays; rule, scenario and tree name it."""
    finding, run = found.finding, found.run
    path = folder / f"{finding.requirement}-{finding.rule}-{run.scenario}-{run.tree}.json"
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


# --- what is said ----------------------------------------------------------------------------


def _refused(refused: availability.Availability) -> Done:
    text = f"UNKNOWN: the gate cannot be used here: {refused.reason}\n{refused.advice}"
    document = {"schema": SCHEMA, "verdict": "unknown", "reason": refused.reason}
    return Done(exit_code=_UNDECIDED, text=text, document={**document, "advice": refused.advice})


def _code_of(error: Exception) -> int:
    is_open = leaves_open(error) or isinstance(error, TreeUnavailableError)
    return _UNDECIDED if is_open else _BROKEN


def _exit_code(journal: _Journal) -> int:
    if journal.trouble_code == _INTERRUPTED:
        return _INTERRUPTED
    if journal.found:
        return _FOUND
    if journal.trouble_code == _BROKEN or any(each.broken for each in journal.explored):
        return _BROKEN
    return _UNDECIDED if journal.trouble_code or any(map(_doubt, journal.explored)) else 0


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
    for found, path in journal.found.values():
        replay = counterexample.replay_line(found.token)
        lines += ["", f"written to {path}", draw(found.run, replay=replay)]
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
        "found": [_plain_found(found, path) for found, path in journal.found.values()],
        "runs": runs,
        "seconds": seconds,
    }
    return Done(exit_code=code, text="\n".join(lines), document=document)


def _without_finding(journal: _Journal, code: int, effort: str) -> str:
    doubts = [text for text in map(_doubt, journal.explored) if text]
    why = journal.trouble or next(iter(doubts), "")
    word = {_BROKEN: "no verdict", _UNDECIDED: "UNKNOWN"}.get(code, "stopped")
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


def _plain_found(found: Found, path: Path) -> dict[str, Any]:
    return {
        **to_plain(found.finding),
        "scenario": found.run.scenario,
        "tree": found.run.tree,
        "after_runs": found.runs,
        "after_s": round(found.seconds, 3),
        "token": found.token.encode(),
        "file": str(path),
        "replay": counterexample.replay_line(found.token),
        "run": timeline.to_json(found.run),
    }


# --- replay ----------------------------------------------------------------------------------


def replay_command(
    *,
    token: Token,
    saved: Counterexample | None,
    backend: str | None,
    times: int,
    draw: Draw,
    progress: Tell,
    patience: Patience = Patience(),  # noqa: B008 (a frozen value)
) -> Done:
    """Make a run again. Raises TokenError for a token that is not for this backend."""
    refused = availability.probe()
    if not refused.ok:
        return _refused(refused)
    played = _scenario_of(token)
    try:
        with _laboratory(
            backend or token.backend, token.seed, token.grain.value, patience
        ) as laboratory:
            subject = laboratory.subject
            check_fits(token, spec=subject.spec, identity=subject.identity)
            start = _start_of(laboratory, token, saved)
            system = laboratory.system(played, start)
            system.record = True
            return _replay(system, token, times, draw, progress)
    except TreeUnavailableError as error:
        raise TokenError(str(error)) from error
    except OUT_OF_HAND as error:
        return _stopped(str(error), _code_of(error))


def _scenario_of(token: Token) -> Scenario:
    try:
        found = scenario(token.scenario)
    except KeyError as error:
        raise TokenError(str(error.args[0])) from error
    if found.locks.value != token.locks:
        raise TokenError(
            f"the token says locks {token.locks!r}; scenario {found.name} has {found.locks.value!r}"
        )
    return found


def _start_of(laboratory: Laboratory, token: Token, saved: Counterexample | None) -> Start:
    """The tree of the file as it is; else the tree of that name, made or harvested here anew."""
    if saved is None or token.tree in TREES:
        return laboratory.start(token.tree)
    tree = tree_text.from_json(saved.tree)
    newest_ns = max(node.mtime_ns for node in tree.nodes.values())
    laboratory.natural("empty")
    return Start(name=token.tree, tree=tree, taken_s=newest_ns / 1e9)


def _replay(system: GatedSystem, token: Token, times: int, draw: Draw, progress: Tell) -> Done:
    shown: dict[tuple[str, str], int] = {}
    logs: set[tuple[object, ...]] = set()
    run: Run | None = None
    for number in range(times):
        try:
            made = system.run(Replay(token.choices).choose).run
        except ScheduleMismatchError as error:
            return _stopped(f"replay {number + 1} went another way: {error}", _UNDECIDED)
        run = run if run is not None and run.findings else made
        logs.add(made.steps)
        for key in {(each.requirement, each.rule) for each in made.findings}:
            shown[key] = shown.get(key, 0) + 1
        if times > 1:
            progress(f"replayed {number + 1} of {times}")
    assert run is not None
    told = [f"{row} {rule}: {count} of {times} times" for (row, rule), count in shown.items()]
    told = told or [f"nothing is wrong with this run ({times} of {times} times)"]
    if len(logs) > 1:
        told.append(f"NONDETERMINISTIC: {len(logs)} different logs in {times} replays")
    text = "\n".join([*told, draw(run, replay=counterexample.replay_line(token))])
    code = _FOUND if shown else (_UNDECIDED if len(logs) > 1 else 0)
    document = {
        "schema": SCHEMA,
        "times": times,
        "shown": {f"{row} {rule}": count for (row, rule), count in shown.items()},
        "different_logs": len(logs),
        "run": timeline.to_json(run),
    }
    return Done(exit_code=code, text=text, document=document)


def _stopped(reason: str, code: int) -> Done:
    document = {"schema": SCHEMA, "verdict": "unknown" if code == _UNDECIDED else "invalid"}
    word = "UNKNOWN" if code == _UNDECIDED else "no verdict"
    return Done(exit_code=code, text=f"{word}: {reason}", document={**document, "reason": reason})


def list_command(*, backend: str) -> Done:
    """Name scenarios and natural trees; nothing is run."""
    width = max(len(each.name) for each in SCENARIOS)
    lines = ["scenarios (worker A, B, C in turn; bound of preemptions from the natural tree):"]
    lines += [
        f"  {each.name:<{width}}  {each.tree:<13} <= {each.preemptions}  {each.title}"
        for each in SCENARIOS
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
            for each in SCENARIOS
        ],
        "trees": list(TREES),
    }
    return Done(exit_code=0, text="\n".join(lines), document=document)
