"""One backend under the gate: its workers, the root they share, and the trees that runs begin from.

    laboratory/
      cache/       the root: the same path in every run
      payload/     what writers write
      outside/     must stay as it is (``surroundings``)
      tmp/         a temporary directory for each worker, empty when it starts

Rule 1: a natural tree is made by the backend itself, with one worker that nobody holds.
Rule 2: harvested trees are the states that a crash of everything would leave: the root is copied at
        every stop of one sequential run of each source, and equal states count once.
Rule 3: what is made under lies about locks is made of trees that were made under true ones.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from untorn_conformance import probe
from untorn_conformance.backend import Limits, Verb
from untorn_conformance.contract import Capability

from untorn_stress import undisturbed
from untorn_stress.ensemble import Cast, Ensemble
from untorn_stress.gate.supervisor import MOST_STEPS, STEP_DEADLINE_S, Rules
from untorn_stress.gated import GatedSystem
from untorn_stress.grain import Grain
from untorn_stress.names import Names
from untorn_stress.payloads import LABELS, Payloads, RequestFrames
from untorn_stress.programs import requester_of
from untorn_stress.reclaiming import PlayIn, Reclaiming
from untorn_stress.rules.history import Debris
from untorn_stress.run import Operation, Run
from untorn_stress.scenario import Play, Program, Scenario, Source, Thin
from untorn_stress.scenarios import (
    NATURAL,
    SOURCES,
    TREES,
    alone,
    harvest_name,
    is_damaged,
    prepare,
)
from untorn_stress.start import Start
from untorn_stress.stops import Stop, stops
from untorn_stress.surroundings import Surroundings
from untorn_stress.tree import Tree, capture
from untorn_stress.tree_digest import digest
from untorn_stress.tree_restore import Restorer

_DIGEST_DIGITS = 8
_NUMBER: Final = re.compile("[0-9]{1,9}")
_OURS = frozenset({"cache", "payload", "tmp"})


class TreeUnavailableError(Exception):
    """A natural tree cannot be made with this backend, or a harvested one was not found again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A backend under test: how its workers are started and what it says of itself.

    Where no ``limits`` are known, nothing is judged that rests on one.
    """

    spec: str
    identity: str
    cast: Cast
    capabilities: frozenset[Capability]
    limits: Limits | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """When a backend is given up: it takes longer than a step may, or more steps than a run may.

    ``step_deadline_s`` holds for all that should take no time: a worker's start, and its way from
    one gated call to the next.
    """

    step_deadline_s: float = STEP_DEADLINE_S
    most_steps: int = MOST_STEPS


class Laboratory:
    """A context manager: closing it ends all processes and removes the directory.

    ``unavailable`` says of natural trees that were asked for why they cannot be made, ``not_told``
    of requests of clips why their frames are not judged.
    """

    def __init__(
        self,
        subject: Subject,
        *,
        base: Path,
        seed: int = 0,
        grain: Grain = Grain.METADATA,
        frames: int = 2,
        clip: str = "",
        patience: Patience = Patience(),
    ) -> None:
        self.subject = subject
        self.seed = seed
        self.grain = grain
        self.folder = Path(tempfile.mkdtemp(prefix="untorn-lab-", dir=base.resolve()))
        self.root = self.folder / "cache"
        for each in (self.root, self.folder / "tmp"):
            each.mkdir(mode=0o700)
        self.surroundings = Surroundings(self.folder, ours=_OURS)
        self._true = Rules(
            deadline_s=patience.step_deadline_s,
            most_steps=patience.most_steps,
        )
        self.payloads = Payloads(self.folder / "payload", frames=frames, clip=clip)
        words = [*map(self.payloads.key, LABELS), *self.payloads.names]
        self._names = Names(words)
        self._ensembles: dict[str, Ensemble] = {}
        self._natural: dict[str, Start] = {}
        self.unavailable: dict[str, str] = {}
        self._harvest: dict[str, Start] | None = None
        self._reclaiming: dict[str, Reclaiming] = {}
        self._rendered: dict[tuple[str, tuple[Program, ...]], Start] = {}
        self.not_told = ""
        self._bystander: GatedSystem | None = None

    def __enter__(self) -> Laboratory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every worker and remove the directory."""
        with contextlib.ExitStack() as closing:
            closing.callback(shutil.rmtree, self.folder, ignore_errors=True)
            for ensemble in self._ensembles.values():
                closing.callback(ensemble.close)

    def last_words(self) -> str:
        """What the workers wrote to stderr last, as the end of a message."""
        return next((each.last_words() for each in self._ensembles.values()), "")

    # --- systems ---------------------------------------------------------------------------------

    def system(
        self,
        scenario: Scenario,
        start: Start,
        phase: str = "run",
        *,
        offers_yielded: bool = False,
        kills: bool = False,
        errnos: bool = False,
    ) -> GatedSystem:
        """The scenario from that tree, to be driven by a scheduler.

        ``kills`` offers deaths besides steps, ``errnos`` each errno that a call can return.
        """
        if Capability.RENDER in scenario.needs:
            self._learn(scenario)
        rules = replace(self._rules(scenario), offers_yielded=offers_yielded)
        return GatedSystem(
            scenario=scenario,
            ensemble=self._ensemble(rules),
            judges=self._ensemble(self._true),
            judges_rules=self._true,
            payloads=self.payloads,
            capabilities=self.subject.capabilities,
            limits=self.subject.limits,
            root=self.root,
            surroundings=self.surroundings,
            start=start,
            rules=rules,
            seed=self.seed,
            phase=phase,
            kills=kills,
            errnos=errnos,
            reclaim=partial(self.reclaim, undisturbed=self._rendered.get(_playing(scenario)))
            if "C3" in scenario.requirements
            else None,
        )

    def _rules(self, scenario: Scenario) -> Rules:
        return replace(
            self._true,
            grain=self.grain,
            locks=scenario.locks.value,
            sees_inodes=_sees_inodes(scenario, self.payloads),
            own_folders=self._own_folders(scenario.locks.value),
        )

    def workers(self, scenario: Scenario) -> tuple[Ensemble, Rules]:
        """Who plays a scenario, and how they are gated."""
        rules = self._rules(scenario)
        return self._ensemble(rules), rules

    def _ensemble(self, rules: Rules) -> Ensemble:
        """The workers for one way of gating; Ensembles of other ways stay as they are."""
        known = self._ensembles.get(rules.locks)
        if known is None:
            known = self._ensembles[rules.locks] = Ensemble(
                self.subject.cast,
                root=str(self.root),
                stderr=self.folder / f"stderr-{rules.locks}",
                rules=rules,
                own_folders=self._own_folders(rules.locks),
            )
        return known

    def _own_folders(self, locks: str) -> str:
        """Where each worker has a temporary directory of its own: this, and its letter."""
        return f"{self.folder / 'tmp'}/{locks}-"

    # --- trees -----------------------------------------------------------------------------------

    def start(self, name: str) -> Start:
        """The initial tree of that name, natural or harvested. Raises TreeUnavailableError."""
        if name in NATURAL:
            return self.natural(name)
        found = self.harvest().get(name)
        if found is None:
            raise TreeUnavailableError(
                f"there is no tree {name!r}: natural are {', '.join(TREES)}; harvested here were "
                f"{', '.join(self.harvest()) or 'none'}"
            )
        return found

    def natural(self, name: str) -> Start:
        """Make a natural tree, once. Raises TreeUnavailableError, KeyError."""
        if why := self.why_not(name):
            raise TreeUnavailableError(why)
        return self._natural[name]

    def why_not(self, name: str) -> str:
        """Why this backend cannot be brought to the natural tree, or "" where it can."""
        if name not in self._natural and name not in self.unavailable:
            try:
                self._natural[name] = self._make(name)
            except TreeUnavailableError as error:
                self.unavailable[name] = str(error)
        return self.unavailable.get(name, "")

    def _make(self, name: str) -> Start:
        Restorer(self.root).restore(Tree({"": capture(self.root).nodes[""]}))
        system = self._nobody(self.take(name), name)
        system.play_alone([])
        for step in prepare(name):
            if isinstance(step, Play):
                self._play(system, step)
            else:
                self._thin(step)
        return self.take(name)

    def _nobody(self, start: Start, phase: str) -> GatedSystem:
        """A system whose workers do nothing; what is to be done is played alone."""
        return self.system(_NOBODY, start, phase)

    @staticmethod
    def _play(system: GatedSystem, step: Play) -> None:
        for operation in system.play_alone([step.program]).operations():
            if not operation.is_answered:
                raise TreeUnavailableError(
                    f"the worker that was to make it died in {operation.verb}"
                )

    def _thin(self, step: Thin) -> None:
        wanted = self.payloads.digests(step.label, step.writer)[step.index]
        for path, entry in probe.take(self.root).files().items():
            if entry.sha256 == wanted:
                (self.root / path).unlink()
                return
        raise TreeUnavailableError(
            "the published frame is no file of the root: where the entry is cannot be seen"
        )

    def take(self, name: str) -> Start:
        """What is below the root now, as a tree to begin from."""
        return Start(name=name, tree=capture(self.root), taken_s=time.time())

    def harvest(self) -> Mapping[str, Start]:
        """The crash states of publish, adopt, repair, collect and lookup, by name, each once.

        A state that a crash leaves of a damaged tree and of a sound one counts as of the sound.
        Sources whose tree cannot be made are left out; ``not_harvested`` says which and why.
        """
        if self._harvest is None:
            natural: dict[str, str] = {}
            for name in itertools.filterfalse(self.why_not, TREES):
                natural.setdefault(self.digest(self.natural(name).tree), name)
            starts: dict[str, Start] = {}
            of_damaged: dict[str, bool] = {}
            for source in SOURCES:
                if self.why_not(source.tree):
                    continue
                damaged = is_damaged(source.tree)
                for start in self._crash_states(source):
                    found = self.digest(start.tree)
                    same = natural.get(found)
                    # What an outsider may leave, a crash may not: then it is a tree of its own.
                    if same is None or is_damaged(same) > damaged:
                        starts.setdefault(found, start)
                        of_damaged[found] = damaged and of_damaged.get(found, True)
            names = {
                found: harvest_name(found[:_DIGEST_DIGITS], of_damaged=of_damaged[found])
                for found in starts
            }
            self._harvest = {
                names[found]: replace(start, name=names[found]) for found, start in starts.items()
            }
        return self._harvest

    @property
    def not_harvested(self) -> dict[str, str]:
        """The sources that the harvest had to leave out, and why."""
        if self._harvest is None:
            return {}
        return {
            source.name: self.unavailable[source.tree]
            for source in SOURCES
            if source.tree in self.unavailable
        }

    def _crash_states(self, source: Source) -> list[Start]:
        """The root at every stop of one sequential run."""
        scenario = replace(alone(source), requirements=())
        system = self.system(scenario, self.natural(source.tree), source.name)
        return [each.start for each in self.stops(system)[1]]

    def stops(self, system: GatedSystem) -> tuple[Run, list[Stop]]:
        """The run of a system's lone worker, and what was left at each of its stops."""
        return stops(system, lambda: self.take(system.scenario.name))

    def digest(self, tree: Tree) -> str:
        """What all trees share that stand for the same state, whoever made them."""
        names = self._names.fresh()
        told = "/".join((*tree.nodes, *(node.target for node in tree.nodes.values())))
        numbers = set(map(int, _NUMBER.findall(told)))  # few, where those of all workers are many
        for ensemble in self._ensembles.values():
            for pid in numbers & ensemble.pids:
                names.pid("", pid)
        return digest(tree, names, mtimes=False)

    # --- clips -----------------------------------------------------------------------------------

    def _learn(self, scenario: Scenario) -> None:
        """What the scenario's requests give, and leave, when nothing befalls them; once."""
        if _playing(scenario) in self._rendered:
            return
        empty, own = self.natural("empty"), self.natural(scenario.tree)
        alone: dict[str, RequestFrames] = {}
        for inputs in undisturbed.requests_of(scenario.programs, self.payloads):
            played = self._play_in(empty.tree, [requester_of(inputs)])
            alone |= undisturbed.footage_of(played, self.payloads)
        played = self._play_in(own.tree, scenario.programs)
        self._rendered[_playing(scenario)] = self.take("rendered")
        together = undisturbed.footage_of(played, self.payloads)
        told = undisturbed.agreeing(alone, together)
        self.payloads.footage.update(told)
        asked = undisturbed.requests_of(scenario.programs, self.payloads)
        if len(told) < len(asked):
            self.not_told = (
                f"{len(asked) - len(told)} of {len(asked)} requests do not give the same bytes "
                "alone and in a render, both undisturbed"
            )

    # --- debris ----------------------------------------------------------------------------------

    @property
    def not_reclaimed(self) -> str:
        """Why it is not judged what this backend reclaims, or ""."""
        if self.subject.limits is None:
            return "the backend's grace for the dead is not known"
        return self.why_not(_PUBLISHED)

    def reclaim(
        self, tree: Tree, play: PlayIn | None = None, *, undisturbed: Start | None = None
    ) -> Debris | None:
        """What a fresh collector leaves of the tree when it is old; None if that is undecidable.

        The measure is what it leaves of ``undisturbed``, by default of an undisturbed publish.
        """
        limits = self.subject.limits
        if limits is None or self.not_reclaimed:
            return None
        measure = undisturbed or self.natural(_PUBLISHED)
        if measure.name not in self._reclaiming:
            self._reclaiming[measure.name] = Reclaiming(
                self.root,
                limits,
                self._names,
                ages=Capability.VIRTUAL_CLOCK in self.subject.capabilities,
                published=measure.tree,
            )
        return self._reclaiming[measure.name].reclaim(tree, play or self._play_in)

    def _play_in(self, tree: Tree, programs: Sequence[Program]) -> tuple[Operation, ...]:
        Restorer(self.root).restore(tree)
        return self.play_alone(programs)

    # --- judges ----------------------------------------------------------------------------------

    def play_alone(self, programs: Sequence[Program]) -> tuple[Operation, ...]:
        """What comes of programs that one fresh worker plays in turn, as in ``GatedSystem``."""
        if self._bystander is None:
            # From the tree as it is: to make another would take it away from under the worker.
            self._bystander = self._nobody(self.take("look"), "look")
        return self._bystander.play_alone(programs).operations()

    def answers(self, requests: Sequence[bytes]) -> list[bytes]:
        """What a fresh worker answers to all of these, that nobody holds.

        Raises HostingError where none can be had so.
        """
        return self._ensemble(self._true).answers(requests)


_PUBLISHED: Final = "published"

_NOBODY: Final = Scenario(
    name="nobody", title="Nobody.", programs=(), tree="empty", requirements=(), preemptions=0
)


def _playing(scenario: Scenario) -> tuple[str, tuple[Program, ...]]:
    """What is done from where: scenarios that differ in neither leave the same."""
    return scenario.tree, scenario.programs


def _sees_inodes(scenario: Scenario, payloads: Payloads) -> bool:
    """Whether somebody frees inodes that another may take, by the first verb of each program.

    Who stages or extracts makes and removes, who collects removes.
    """
    asked = [next(program(payloads), None) for program in scenario.programs]
    verbs = [None if ask is None else ask.verb for ask in asked]
    makers = sum(verb in {Verb.STAGE, Verb.EXTRACT, Verb.RENDER} for verb in verbs)
    removers = makers + verbs.count(Verb.COLLECT)
    return makers > 0 and removers > 1
