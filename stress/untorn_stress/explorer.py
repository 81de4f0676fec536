"""Exploring one scenario from one tree: search, record what was found, say what it is evidence for.

Rule 1: a finding is replayed at once, with every step in words; one that does not come again is
        kept with what is known, and the backend is called nondeterministic.
Rule 2: EXHAUSTIVE is said only of a search that ended, of a backend that did the same twice, and
        where nothing went unobserved. All else is SAMPLED, with its count and why.
Rule 3: a search that got out of hand (a deadline, a broken adapter, a gate refused) is *undecided*:
        what it found before stands.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from untorn_conformance.errors import BackendError, ErrorCode, ProtocolError
from untorn_conformance.verdict import Evidence, EvidenceClass

from untorn_stress.explore import Budget, Search, Stopped
from untorn_stress.foresight import Foresight, RenamedError
from untorn_stress.garbage import collected_seldom
from untorn_stress.gate.hosting import GateRefusedError, HostingError, HostingTimeoutError
from untorn_stress.gate.supervisor import UndecidedError
from untorn_stress.gated import GatedRun, GatedSystem
from untorn_stress.laboratory import Laboratory
from untorn_stress.run import Finding, FindingKind, Run
from untorn_stress.scenario import Locks, Scenario
from untorn_stress.schedulers.dfs_bounded import BoundedDfs
from untorn_stress.schedulers.dfs_unbounded import UnboundedDfs
from untorn_stress.schedulers.fail_nth import FailNth
from untorn_stress.schedulers.pct import Pct
from untorn_stress.schedulers.protocol import (
    NondeterminismError,
    ScheduleMismatchError,
    Scheduler,
)
from untorn_stress.schedulers.replay import Replay
from untorn_stress.start import Start
from untorn_stress.token import Token
from untorn_stress.tree import TreeError

_FAILED: Final = (HostingError, ProtocolError, BackendError, TreeError, OSError)
OUT_OF_HAND: Final = (UndecidedError, *_FAILED)
_TICK_S: Final = 0.5


def leaves_open(error: Exception) -> bool:
    """Whether it is a deadline or a refused gate: then nothing failed, and nothing is known."""
    if isinstance(error, BackendError):
        return error.code is ErrorCode.DEADLINE
    return isinstance(error, UndecidedError | GateRefusedError | HostingTimeoutError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A finding, the recorded run that shows it, and how soon.

    ``runs`` counts the one that showed it, ``seconds`` are those of the search.
    """

    finding: Finding
    run: Run
    token: Token
    start: Start
    runs: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Explored:
    """What a search of one scenario from one tree gave.

    ``runs`` counts the schedules, ``made`` those of them that processes ran: how the others go
    follows from these. ``undecided`` and ``nondeterministic`` say why, or are empty; ``broken``
    says that the backend or the harness failed. ``completed`` is the highest number of preemptions
    within which nothing is left, -1 for none or where there is no such bound. ``failed`` counts the
    runs in which a call was made to fail and its caller met that, None where none was to be.
    ``no_lock_asked``: locks were not to be trusted, and nobody asked for any. ``alike`` names the
    tree from which the same search was made (``alike.AlikeSearches``), or is empty.
    """

    scenario: str
    tree: str
    scheduler: str
    runs: int
    made: int
    cut: int
    seconds: float
    completed: int
    exhaustive: bool
    found: tuple[Found, ...] = ()
    undecided: str = ""
    broken: bool = False
    nondeterministic: str = ""
    unobserved: tuple[str, ...] = ()
    failed: int | None = None
    no_lock_asked: bool = False
    alike: str = ""

    @property
    def evidence(self) -> Evidence:
        """What a search without a finding is evidence for."""
        runs = f"{self.runs} schedules" + f", {self.made} made" * (self.made < self.runs)
        if self.alike:
            runs += f", as from {self.alike}"
        if self.failed is not None:
            runs += f", {self.failed} with a call that failed"
        if self.exhaustive:
            detail = f"{self.scenario}: every schedule of {self.scheduler} from {self.tree}"
            return Evidence(kind=EvidenceClass.EXHAUSTIVE, detail=f"{detail} ({runs})")
        count = f"{runs} of {self.scheduler} from {self.tree}"
        whole = f", whole to {self.completed}" if self.completed >= 0 else ""
        return Evidence(kind=EvidenceClass.SAMPLED, detail=f"{self.scenario}: {count}{whole}")


@dataclass(slots=True)
class _Notes:
    """What was seen in the course of a search."""

    found: dict[tuple[str, str], Found]
    unobserved: dict[str, None]
    undecided: str = ""
    broken: bool = False
    nondeterministic: str = ""
    took_steps: bool = False
    failed: int = 0


class Exploration:
    """One search. ``progress`` is told now and then, in a line; ``on_found`` at once.

    ``kills`` and ``errnos`` offer deaths and failing calls besides steps; ``must_fail``: it is left
    open if no call was made to fail. ``on_left`` is told of each run that was made to its end, and
    what it left.
    """

    def __init__(
        self,
        laboratory: Laboratory,
        scenario: Scenario,
        start: Start,
        scheduler: Scheduler,
        *,
        described: str,
        budget: Budget = Budget(),  # noqa: B008 (a frozen value)
        progress: Callable[[str], None] | None = None,
        on_found: Callable[[Found], None] | None = None,
        stop_at_first: bool = False,
        kills: bool = False,
        errnos: bool = False,
        must_fail: bool = True,
        on_left: Callable[[Run, Start], None] | None = None,
    ) -> None:
        self._laboratory = laboratory
        self._scenario = scenario
        self._start = start
        self._scheduler = scheduler
        self._described = described
        self._budget = budget
        self._progress = progress
        self._on_found = on_found
        self._stop_at_first = stop_at_first
        self._kills, self._errnos = kills, errnos
        self._must_fail = errnos and must_fail
        self._on_left = on_left
        self._notes = _Notes({}, {})
        self._told_s = 0.0
        self._foresight: Foresight[GatedRun] | None = None

    def run(self) -> Explored:
        """Search until nothing is left, the budget is spent or it gets out of hand."""
        notes = self._notes
        system = self._laboratory.system(
            self._scenario, self._start, kills=self._kills, errnos=self._errnos
        )
        system.expects_endings = isinstance(self._scheduler, UnboundedDfs)
        if self._on_left is not None:
            system.on_left = self._on_left
        unspent = copy.deepcopy(self._scheduler)
        if isinstance(self._scheduler, BoundedDfs | UnboundedDfs):
            self._foresight = Foresight(system)
        search = Search(self._foresight or system, self._scheduler, self._budget)
        try:
            with collected_seldom():
                try:
                    self._follow(search, system)
                except RenamedError:  # begin anew, and make every run
                    self._foresight, self._scheduler = None, unspent
                    search = Search(system, self._scheduler, self._budget)
                    self._follow(search, system)
        except (NondeterminismError, ScheduleMismatchError) as error:
            notes.nondeterministic = str(error)
        except OUT_OF_HAND as error:
            notes.undecided = f"{error}" or type(error).__name__
            notes.broken = not leaves_open(error)
        return self._explored(search, system)

    def _follow(self, search: Search[GatedRun], system: GatedSystem) -> None:
        """Go through the runs of a search, and note what they show."""
        notes = self._notes
        first: Run | None = None
        system.record = True  # the first run, to be compared with itself
        for result in search:
            if first is None:
                first, system.record = result.run, False
            notes.unobserved.update(dict.fromkeys(result.run.unobserved))
            notes.took_steps |= bool(result.run.choices)
            notes.failed += any(each.faults for each in result.run.operations)
            self._note(system, result.run, search)
            self._tell(search)
            if notes.found and self._stop_at_first:
                search.progress.stopped = Stopped.BUDGET
                break
        if self._must_fail and search.progress.stopped is not Stopped.BUDGET:
            notes.undecided = notes.undecided or self._unmet()
        if first is not None and self._is_whole(search):
            notes.nondeterministic = notes.nondeterministic or differs_from_itself(system, first)

    def _unmet(self) -> str:
        """Which failing calls were asked for, and met by nobody."""
        if isinstance(self._scheduler, FailNth) and self._scheduler.missed:
            first, count = self._scheduler.missed[0], len(self._scheduler.missed)
            return f"{count} faults were never met, such as {first.label} at step {first.step}"
        return "" if self._notes.failed else "no call could be made to fail"

    def _explored(self, search: Search[GatedRun], system: GatedSystem) -> Explored:
        notes = self._notes
        dfs = self._scheduler if isinstance(self._scheduler, BoundedDfs) else None
        doubt = notes.undecided or notes.nondeterministic or notes.unobserved
        return Explored(
            scenario=self._scenario.name,
            tree=self._start.name,
            scheduler=self._said(),
            runs=search.progress.runs,
            made=search.progress.runs if self._foresight is None else self._foresight.made,
            cut=search.progress.cut,
            seconds=search.progress.seconds,
            completed=-1 if dfs is None else dfs.completed,
            exhaustive=self._is_whole(search) and not doubt,
            found=tuple(notes.found.values()),
            undecided=notes.undecided,
            broken=notes.broken,
            nondeterministic=notes.nondeterministic,
            unobserved=tuple(notes.unobserved),
            failed=notes.failed if self._errnos else None,
            no_lock_asked=self._scenario.locks is not Locks.REAL and not system.asked_for_locks,
        )

    def _is_whole(self, search: Search[GatedRun]) -> bool:
        """Whether the search left no schedule within its bound, of a backend that it held."""
        scheduler = self._scheduler
        if search.progress.stopped is not Stopped.DONE or not self._notes.took_steps:
            return False
        if isinstance(scheduler, BoundedDfs | FailNth):
            return scheduler.exhaustive
        return isinstance(scheduler, UnboundedDfs)

    def _said(self) -> str:
        """The scheduler in words, with what its runs are worth where it can tell."""
        if isinstance(self._scheduler, Pct):
            return f"{self._described} ({self._scheduler.guarantee})"
        return self._described

    def _note(self, system: GatedSystem, run: Run, search: Search[GatedRun]) -> None:
        fresh = [
            finding
            for finding in run.findings
            if (finding.requirement, finding.rule) not in self._notes.found
        ]
        if not fresh:
            return
        again = record(system, run)
        findings = () if again is None else again.findings
        came_again = {(each.requirement, each.rule): each for each in findings}
        for finding in fresh:
            key = (finding.requirement, finding.rule)
            shown = came_again.get(key)
            if shown is None:
                self._notes.nondeterministic = f"{finding.message}: not so when it was replayed"
            found = Found(
                finding=shown or replace(finding, kind=FindingKind.NONDETERMINISTIC),
                run=again if shown and again else run,
                token=token_of(self._laboratory, self._scenario, run, self._described),
                start=self._start,
                runs=search.progress.runs,
                seconds=search.progress.seconds,
            )
            self._notes.found[key] = found
            if self._on_found is not None:
                self._on_found(found)

    def _tell(self, search: Search[GatedRun]) -> None:
        now_s = time.monotonic()
        if self._progress is None or now_s - self._told_s < _TICK_S:
            return
        self._told_s = now_s
        done = search.progress
        self._progress(
            f"{self._scenario.name} from {self._start.name}: {done.runs} runs, "
            f"{done.runs / max(done.seconds, 1e-9):.0f}/s, {len(self._notes.found)} found"
        )


def token_of(laboratory: Laboratory, scenario: Scenario, run: Run, bound: str) -> Token:
    """The run as one word; ``bound`` says in words what it was found within."""
    return Token(
        backend=laboratory.subject.spec,
        identity=laboratory.subject.identity,
        scenario=run.scenario,
        tree=run.tree,
        grain=laboratory.grain,
        locks=scenario.locks.value,
        seed=run.seed,
        bound=bound,
        choices=run.choices,
    )


def record(system: GatedSystem, run: Run) -> Run | None:
    """Make the run again with every step in words; None if it went another way."""
    system.record = True
    replay = Replay(run.choices)
    try:
        made = system.run(replay.choose)
        replay.end(made.ending)
        return made.run
    except (ScheduleMismatchError, *OUT_OF_HAND):
        return None  # what was found stands
    finally:
        system.record = False


def differs_from_itself(system: GatedSystem, one: Run) -> str:
    """Make a run again that was told in words, when all others were made; where they part, or "".

    Raises ScheduleMismatchError where it cannot be made again.
    """
    system.record = True
    try:
        other = system.run(Replay(one.choices).choose).run
    finally:
        system.record = False
    if one.steps == other.steps:
        return ""
    pairs = zip(one.steps, other.steps, strict=False)
    parted = next((a for a, b in pairs if a != b), one.steps[-1] if one.steps else None)
    where = "at its end" if parted is None else f"at step {parted.number}: {parted.call}"
    return f"the same schedule, made twice, parts {where}"


def bounded(preemptions: int, kills: int = 0, errnos: int = 0) -> tuple[BoundedDfs, str]:
    """The bounded search and how it is called in evidence.

    So many of the workers' steps may be replaced by a kill or an errno, of either kind.
    """
    counts = ((preemptions, "preemption"), (kills, "kill"), (errnos, "errno"))
    words = " and ".join(
        f"{count} {word}{'' if count == 1 else 's'}"
        for count, word in counts
        if count or word == "preemption"
    )
    return BoundedDfs(preemptions=preemptions, faults=kills + errnos), f"at most {words}"
