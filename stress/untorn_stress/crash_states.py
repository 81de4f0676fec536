"""Everything dies: each state that this can leave of a lone worker, judged by fresh ones.

    one run of the worker             the tree is copied at each of its stops
    each distinct copy is put back    fresh workers look at it: read, publish, read; and collect
    what they found is judged         as the end of the run that was killed at that stop
    some stops are made again         by SIGKILL at that step: the tree must be the same

Rule 1: that is every state that SIGKILL of everybody can leave of this run, between two calls of
        the laboratory's grain: a file's bytes come one write at a time only where the data grain is
        held. What a death leaves to those who go on is another matter, and a choice of the search.
Rule 2: states are distinct by digest, and what fresh workers find depends on the state alone: each
        is looked at once, whichever runs lead to it. It is judged for each of these runs, since
        what had been acknowledged differs.
Rule 3: each look has workers of its own, that have seen nothing else (``looks``).
Rule 4: no finding rests on a copy: it is made again by SIGKILL, looked at by other workers, and
        has a token.
Rule 5: from what a crash left it is the same again, once: then what breaks is C4.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from untorn_conformance.verdict import Evidence, EvidenceClass

from untorn_stress.explorer import OUT_OF_HAND, Found, leaves_open, record, token_of
from untorn_stress.gated import GatedSystem
from untorn_stress.laboratory import Laboratory
from untorn_stress.looks import Looks
from untorn_stress.rules.history import Aftermath
from untorn_stress.run import Finding, FindingKind, Run
from untorn_stress.scenario import Scenario
from untorn_stress.scenarios import labels_of
from untorn_stress.schedulers.protocol import ScheduleMismatchError
from untorn_stress.schedulers.replay import Replay
from untorn_stress.start import Start
from untorn_stress.stops import Stop
from untorn_stress.tree import Tree

SAMPLED_EVERY: Final = 10
BOUND: Final = "everything dies, once"


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """What came of one program from one tree.

    Its steps are calls of ``grain``. ``stops`` counts them, ``states`` the distinct trees there,
    ``looks`` those of them that nobody had looked at before, ``killed`` the stops that were made
    again by SIGKILL.
    ``undecided`` and ``nondeterministic`` say why nothing is known, or are empty; ``broken`` says
    that the backend or the harness failed. ``not_reclaimed`` says why nobody judged debris, and
    ``not_weighed`` why nobody judged how much is held to be stored.
    """

    scenario: str
    tree: str
    grain: str
    stops: int
    states: int
    looks: int
    killed: int
    seconds: float
    found: tuple[Found, ...] = ()
    undecided: str = ""
    broken: bool = False
    nondeterministic: str = ""
    unobserved: tuple[str, ...] = ()
    not_reclaimed: str = ""
    not_weighed: str = ""

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why it is no answer that nothing was found."""
        return tuple(filter(None, (self.undecided, self.nondeterministic, *self.unobserved)))


def evidence(judged: Sequence[Judged]) -> Evidence:
    """What these are evidence for: all that death can leave of those runs, or a part of it."""
    whole = all(each.stops and not each.doubts for each in judged)
    trees = dict.fromkeys(each.tree for each in judged)
    begun = next(iter(trees)) if len(trees) == 1 else f"{len(trees)} trees"
    detail = (
        f"{', '.join(dict.fromkeys(each.scenario for each in judged))} from {begun}: everything "
        f"dies at each of {_sum(each.stops for each in judged)} stops "
        f"({' and '.join(sorted({each.grain for each in judged}))} grain); "
        f"{_sum(each.states for each in judged)} states, "
        f"{_sum(each.looks for each in judged)} of them distinct, all judged; "
        f"{_sum(each.killed for each in judged)} stops made again by SIGKILL"
    )
    return Evidence(
        kind=EvidenceClass.EXHAUSTIVE if whole else EvidenceClass.SAMPLED, detail=detail
    )


def _sum(numbers: Iterable[int]) -> str:
    return f"{sum(numbers):,}"


@dataclass(slots=True)
class _Notes:
    """What was seen of one run."""

    run: Run | None = None
    stops: int = 0
    states: set[str] = field(default_factory=set)
    looks: int = 0
    killed: int = 0
    found: dict[tuple[str, str], Found] = field(default_factory=dict)
    undecided: str = ""
    broken: bool = False
    nondeterministic: str = ""
    not_reclaimed: str = ""
    not_weighed: str = ""


class CrashStates:
    """Judges the crash states of one backend. What was looked at once is known from then on.

    One stop in ``sampled_every`` is made again by SIGKILL, counted over all runs.
    """

    def __init__(self, laboratory: Laboratory, *, sampled_every: int = SAMPLED_EVERY) -> None:
        self._laboratory = laboratory
        self._sampled_every = sampled_every
        self._until_sample = 1 + sampled_every // 2
        self._looks = Looks(laboratory)

    def judge(self, scenario: Scenario, start: Start) -> Judged:
        """Judge all that death can leave of the scenario's only worker, from that tree."""
        assert len(scenario.programs) == 1, "survivors see more than a copy of the tree"
        notes, began_s = _Notes(), time.monotonic()
        try:
            self._judge_all(scenario, start, notes)
        except ScheduleMismatchError as error:
            notes.nondeterministic = str(error)
        except OUT_OF_HAND as error:
            notes.undecided = f"{error}" or type(error).__name__
            notes.broken = not leaves_open(error)
        return Judged(
            scenario=scenario.name,
            tree=start.name,
            grain=self._laboratory.grain.value,
            stops=notes.stops,
            states=len(notes.states),
            looks=notes.looks,
            killed=notes.killed,
            seconds=time.monotonic() - began_s,
            found=tuple(notes.found.values()),
            undecided=notes.undecided,
            broken=notes.broken,
            nondeterministic=notes.nondeterministic,
            unobserved=() if notes.run is None else notes.run.unobserved,
            not_reclaimed=notes.not_reclaimed,
            not_weighed=notes.not_weighed,
        )

    def _judge_all(self, scenario: Scenario, start: Start, notes: _Notes) -> None:
        began_s = time.monotonic()
        labels = labels_of(scenario, start.name)
        system = self._laboratory.system(scenario, start, kills=True)
        system.look = lambda tree: self._look(self._as_it_is(tree), labels, notes)
        killing = self._laboratory.system(scenario, start, kills=True)
        notes.run, stops = self._laboratory.stops(system)
        judged: dict[tuple[str, int], tuple[Finding, ...]] = {}
        digests: dict[int, str] = {}
        for stop in stops:
            notes.stops += 1
            run = stop.run(notes.run)
            found = self._digest_of(stop, stops, digests)
            notes.states.add(found)
            told = (found, sum(each.is_answered for each in run.operations))
            if told not in judged:
                looked = self._look(stop.start, labels, notes, found)
                judged[told] = system.judge_left(run, stop.start.tree, looked)
                self._note(scenario, start, run, judged[told], notes, began_s)
            self._sample(killing, stop, run, judged[told], notes)
        # What only shows while it lives, such as a death of its own, or a file beside the root.
        self._note(scenario, start, notes.run, notes.run.findings, notes, began_s)

    def _digest_of(self, stop: Stop, stops: Sequence[Stop], known: dict[int, str]) -> str:
        """The digest of a stop; most steps change nothing."""
        before = stops[stop.steps - 2] if stop.steps > 1 else None
        same = before is not None and before.start.tree == stop.start.tree
        known[stop.steps] = (
            known[stop.steps - 1] if same else self._laboratory.digest(stop.start.tree)
        )
        return known[stop.steps]

    def _as_it_is(self, tree: Tree) -> Start:
        return Start(name="", tree=tree, taken_s=time.time())

    def _look(
        self, start: Start, labels: tuple[str, ...], notes: _Notes, digest: str = ""
    ) -> Aftermath:
        made = self._looks.made
        looked = self._looks.look(start, labels, digest)
        notes.looks += self._looks.made - made
        if looked.debris is None:
            notes.not_reclaimed = self._laboratory.not_reclaimed or "no collect does its work here"
        elif looked.debris.held_bytes is None:
            notes.not_weighed = "no dry collect says how far it is over, in bytes of st_size"
        return looked

    def _note(
        self,
        scenario: Scenario,
        start: Start,
        run: Run,
        findings: tuple[Finding, ...],
        notes: _Notes,
        began_s: float,
    ) -> None:
        """Make what was found again by SIGKILL, with other workers, and keep it."""
        fresh = [each for each in findings if (each.requirement, each.rule) not in notes.found]
        if not fresh:
            return
        again = record(self._laboratory.system(scenario, start, kills=True), run)
        came_again = {
            (each.requirement, each.rule): each for each in (again.findings if again else ())
        }
        for finding in fresh:
            key = (finding.requirement, finding.rule)
            shown = came_again.get(key)
            if shown is None:
                notes.nondeterministic = f"{finding.message}: not so when it was really killed"
            notes.found[key] = Found(
                finding=shown or replace(finding, kind=FindingKind.NONDETERMINISTIC),
                run=again if shown and again else replace(run, findings=(finding,)),
                token=token_of(self._laboratory, scenario, run, BOUND),
                start=start,
                runs=notes.stops,
                seconds=time.monotonic() - began_s,
            )

    def _sample(
        self,
        system: GatedSystem,
        stop: Stop,
        run: Run,
        findings: tuple[Finding, ...],
        notes: _Notes,
    ) -> None:
        """Kill for real at one stop in so many; note where that leaves another tree."""
        self._until_sample -= 1
        if self._until_sample > 0 or not stop.death:
            return
        self._until_sample = self._sampled_every
        left: list[Tree] = []
        system.on_stop = lambda: left.append(self._laboratory.take(run.tree).tree)
        replay = Replay(run.choices)
        try:
            made = system.run(replay.choose)
        finally:
            system.on_stop = None
        replay.end(made.ending)
        notes.killed += 1
        where = f"{run.scenario} from {run.tree}, killed after {stop.steps} steps"
        if self._laboratory.digest(left[-1]) != self._laboratory.digest(stop.start.tree):
            notes.nondeterministic = f"{where}: the tree is not the one that was copied there"
        elif _rules(made.run.findings) != _rules(findings):
            notes.nondeterministic = f"{where}: judged otherwise than the tree that was copied"


def _rules(findings: tuple[Finding, ...]) -> set[tuple[str, str]]:
    return {(each.requirement, each.rule) for each in findings}
