"""Killing mutants: what shows one is run, and judged by what it declares.

Rule 1: plain cases are run together, with a few that any cache passes that works at all. Those that
        show the mutant fail, in its words; no other does.
Rule 2: a search, or the states that deaths leave, must give the finding, in its words, and nothing
        that breaks a row which the mutant does not name.
Rule 3: a counterexample is small, and shows the same to the processes of another laboratory.
Rule 4: what stays unknown (no gate, no namespace, no clip) leaves the mutant neither killed nor
        alive.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import resource
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

from untorn_conformance import mutants, registry, subjects
from untorn_conformance.meta.inner_run import Ran, run_pytest
from untorn_conformance.mutants import Case, Deaths, Search
from untorn_conformance.replaying import replay_command
from untorn_stress import timeline
from untorn_stress.crash_states import CrashStates, Judged
from untorn_stress.explorer import Exploration, Explored, Found, bounded
from untorn_stress.gate import availability
from untorn_stress.grain import Grain
from untorn_stress.laboratory import Laboratory
from untorn_stress.run import FindingKind
from untorn_stress.scenarios import TREES, scenario
from untorn_stress.token import Token

SUITE: Final = Path(mutants.__path__[0]).parent / "suite"
NAMES: Final = tuple(sorted(module.name for module in pkgutil.iter_modules(mutants.__path__)))

MOST_OPERATIONS: Final = 3
"""How many workers a counterexample has at most, each with one thing to do."""

UNUSED: Final = ("cacheprovider", "xdist", "hypothesispytest")
"""Plugins that a run of a few cases does not need: loading them takes longer than the cases."""

ONE_SEED: Final = {"PYTHONHASHSEED": "0"}
"""Of a few workers all can be forked from one warm process, where each has the same seed anyway."""

HEALTH: Final = (
    Case(file="test_publish.py", id="P1.absent_until_published_whole_after"),
    Case(file="test_collect.py", id="G2.ends_within_the_budget"),
)
"""What every mutant passes: one that is broken altogether would prove nothing."""

_ALL_MAY_PASS: Final = 0o711
_WHO: Final = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """An attempt on a mutant: ``missed`` says why it is alive, ``unknown`` why nobody can tell.

    ``core_s`` are the seconds of processor time that it took, of all processes.
    """

    missed: str = ""
    unknown: str = ""
    core_s: float = 0.0


def mutant(name: str) -> ModuleType:
    """The module of that name."""
    return importlib.import_module(f"untorn_conformance.mutants.{name}")


def backend_of(name: str) -> str:
    """What ``--backend`` is given to run the mutant."""
    return f"py:{mutant(name).__name__}:factory"


def cases_of(name: str) -> list[Case]:
    """The plain cases that show the mutant."""
    return [each for each in mutant(name).SHOWN_BY if isinstance(each, Case)]


def gated_of(name: str) -> list[Search | Deaths]:
    """The searches and deaths that show the mutant."""
    return [each for each in mutant(name).SHOWN_BY if not isinstance(each, Case)]


def may_fail(name: str) -> frozenset[str]:
    """Every row that the mutant names."""
    rows: frozenset[str] = mutant(name).KILLS | mutant(name).MAY_FAIL
    return rows


def core_seconds() -> float:
    """What this process and those that it has waited for have used of the processors, so far."""
    usages = [resource.getrusage(who) for who in _WHO]
    return sum(each.ru_utime + each.ru_stime for each in usages)


# --- plain cases


def run_cases(folder: Path, backend: str, cases: Iterable[Case]) -> Ran:
    """These cases of the suite on a backend, and those of its health."""
    nodes = dict.fromkeys(f"{SUITE / each.node}" for each in (*cases, *HEALTH))
    options = ["--import-mode=importlib", *(f"-pno:{name}" for name in UNUSED)]
    return run_pytest(folder, *options, *nodes, backend=backend, env=ONE_SEED)


@contextmanager
def passable_folder() -> Iterator[Path]:
    """A folder that a worker of another user can reach into, as some cases want it."""
    with tempfile.TemporaryDirectory(prefix="untorn-mutant-") as folder:
        os.chmod(folder, _ALL_MAY_PASS)
        yield Path(folder)


def kill_by_cases(name: str) -> Shot:
    """Run the plain cases that show the mutant."""
    shown_by = cases_of(name)
    with passable_folder() as folder:
        ran = run_cases(folder, backend_of(name), shown_by)
    missed, unknown = _judge_cases(ran, shown_by, may_fail(name))
    return Shot(missed=missed, unknown=unknown, core_s=ran.core_s)


def _judge_cases(ran: Ran, shown_by: Sequence[Case], may: frozenset[str]) -> tuple[str, str]:
    """Why the mutant is alive, and why nobody can tell; both empty if it is dead."""
    if not ran.document:
        return f"there is no verdict: {ran.text}", ""
    failed = {case: how for case, how in ran.outcomes.items() if how != "PASS"}
    ids = {each.id for each in shown_by}
    unknown = [ran.detail(case) for case in failed if case in ids and failed[case] == "UNKNOWN"]
    if unknown:
        return "", "; ".join(unknown)
    if failed != dict.fromkeys(ids, "FAIL"):
        return f"other cases fail than those that show it: {failed}\n{ran.text}", ""
    told = {each: ran.detail(each.id) for each in shown_by}
    otherwise = [f"{each.id}: {told[each]}" for each in shown_by if each.says not in told[each]]
    if otherwise:
        return f"not for its own reason: {otherwise}", ""
    rows = {row["id"] for row in ran.document["requirements"] if row["outcome"] == "FAIL"}
    if not {each.row for each in shown_by} <= rows <= may:
        return f"the rows that fail are {sorted(rows)}", ""
    if (ran.document["word"], ran.exit_code) != ("non-conformant", 1):
        return f"the verdict is {ran.document['word']}, the exit code {ran.exit_code}", ""
    return "", ""


# --- searches and deaths


def explore(backend: str, search: Search, base: Path, *, stop_at_first: bool = True) -> Explored:
    """Search the scenario from its natural tree."""
    played = scenario(search.scenario)
    scheduler, described = bounded(search.preemptions, search.kills, search.errnos)
    with _laboratory(backend, base, Grain.DATA if search.errnos else Grain.METADATA) as laboratory:
        return Exploration(
            laboratory,
            played,
            laboratory.natural(played.tree),
            scheduler,
            described=described,
            stop_at_first=stop_at_first,
            kills=search.kills > 0,
            errnos=search.errnos > 0,
        ).run()


def judge_deaths(backend: str, deaths: Deaths, base: Path) -> Judged:
    """Judge what deaths leave, of the first tree from which anything is found."""
    played = scenario(deaths.scenario)
    with _laboratory(backend, base, Grain.METADATA) as laboratory:
        starts = [laboratory.natural(played.tree)]
        if deaths.after_crash:
            starts = list(laboratory.harvest().values())
        states = CrashStates(laboratory)
        judged = [states.judge(played, starts[0])]
        for start in starts[1:]:
            if judged[-1].found or judged[-1].undecided:
                break
            judged.append(states.judge(played, start))
        return judged[-1]


def _laboratory(backend: str, base: Path, grain: Grain) -> Laboratory:
    spec = registry.parse(backend)
    subject = subjects.subject_of(spec, subjects.ask_hello(spec, base))
    return Laboratory(subject, base=base, grain=grain)


def kill_by(name: str, shown: Search | Deaths, base: Path) -> Shot:
    """Make the search, or judge the deaths, that show the mutant."""
    began_s = core_seconds()
    gate = availability.probe()
    if not gate.ok:
        return Shot(unknown=f"the gate cannot be used here: {gate.reason}")
    backend = backend_of(name)
    if isinstance(shown, Search):
        explored = explore(backend, shown, base)
        found, undecided = explored.found, explored.undecided
        missed = _too_large(explored, shown)
    else:
        judged = judge_deaths(backend, shown, base)
        found, undecided, missed = judged.found, judged.undecided, ""
    missed = _judge_found(found, shown, may_fail(name)) or missed or _not_again(found, shown)
    return Shot(missed=missed or undecided, core_s=core_seconds() - began_s)


def _judge_found(found: Sequence[Found], shown: Search | Deaths, may: frozenset[str]) -> str:
    """Why what was found is not what shows the mutant, or nothing.

    What did not come again shows nothing: time stamps may decide what else a mutant does wrong.
    """
    findings = [each.finding for each in found]
    steady = [each for each in findings if each.kind is not FindingKind.NONDETERMINISTIC]
    told = {(each.requirement, each.rule): each.message for each in steady}
    if shown.says not in told.get((shown.row, shown.rule), ""):
        return f"found was {findings}"
    if not {each.requirement for each in findings} <= may:
        return f"found was besides: {findings}"
    return "" if (shown.row, shown.rule) in told else f"found was {findings}"


def _too_large(explored: Explored, search: Search) -> str:
    """Why a smaller counterexample may do, or nothing: fewer preemptions were all tried before."""
    workers = len(scenario(search.scenario).programs)
    if workers > MOST_OPERATIONS:
        return f"{workers} workers are more than {MOST_OPERATIONS}"
    if explored.completed != search.preemptions - 1:
        return f"with up to {explored.completed} preemptions nothing is found, with one more it is"
    return ""


def _not_again(found: Sequence[Found], shown: Search | Deaths) -> str:
    """Why the counterexample does not replay from its token, or nothing.

    One from a crash state begins in a tree that only a file can carry: that it comes again was seen
    by real kills in the same laboratory.
    """
    for each in found:
        if (each.finding.requirement, each.finding.rule) != (shown.row, shown.rule):
            continue
        if each.token.tree not in TREES:
            return ""
        done = replay_command(
            token=Token.decode(each.token.encode()),
            saved=None,
            backend=None,
            times=1,
            draw=timeline.render,
            progress=_say_nothing,
        )
        if f"{shown.row} {shown.rule}" not in done.document.get("shown", {}):
            return f"{each.token.encode()} does not replay: {done.text}"
    return ""


def _say_nothing(line: str) -> None:
    del line
