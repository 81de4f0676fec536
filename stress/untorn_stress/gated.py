"""A scenario on real processes as a system that a scheduler drives: one run from tree to findings.

    restore the tree, open the root in each worker, close the gate
    until nobody can move: settle, offer the options, let the chosen call go
    look at what is left with fresh workers, and judge

Rule 1: every run begins from the same tree, at the same path, with the same seed.
Rule 2: a run is described in words only when it is recorded: explore runs thousands, and records
        again the few that show something, by replaying their choices.
Rule 3: whoever made the tree drew other random names than the workers of a run: ``phase`` says so.
Rule 4: what fresh workers find at the end depends on the tree alone, so each distinct tree is
        looked at once.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from untorn_conformance.backend import BytesMeaning, Limits, Skipped, Verb
from untorn_conformance.contract import Capability

from untorn_stress import operation_order, stuck
from untorn_stress.ensemble import JUDGE, Ensemble
from untorn_stress.gate.supervisor import Rules, Supervisor, UndecidedError
from untorn_stress.gate.worker import GatedWorker, Held
from untorn_stress.gate.world import World, decides, remains
from untorn_stress.happening import Happening
from untorn_stress.names import Names
from untorn_stress.narration import Narrator
from untorn_stress.payloads import Payloads
from untorn_stress.performance import Performance
from untorn_stress.player import Ledger, Player
from untorn_stress.programs import collector
from untorn_stress.rules.history import NO_AFTERMATH, Aftermath, Debris
from untorn_stress.rules.judge import judge
from untorn_stress.run import Finding, FindingKind, Run, Step
from untorn_stress.scenario import Program, Scenario
from untorn_stress.scenarios import asked_afterwards
from untorn_stress.schedulers.protocol import Ending, Executed, Footprint, Moment, Option
from untorn_stress.score import Left, score_of
from untorn_stress.start import Start
from untorn_stress.surroundings import Surroundings
from untorn_stress.tree import Tree, capture, lost_bytes
from untorn_stress.tree_digest import digest
from untorn_stress.tree_restore import Restorer

Choose = Callable[[Moment], Option | None]
_REDATE_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class GatedRun:
    """What one run gave: its value, and what the scheduler is told of its end."""

    run: Run
    ending: Ending
    left: Left | None = None


class GatedSystem:
    """One scenario of one backend, from one tree.

    ``reclaim`` has fresh workers reclaim what a run left, where that is to be judged.
    ``record`` describes every step in words. ``expects_endings`` has each option tell that it may
    end its operation, for searches that ask what a pending step touches at most. ``look`` is how
    fresh workers look at the tree below the root when a run is over, and ``on_left`` is told it.
    """

    def __init__(
        self,
        *,
        scenario: Scenario,
        ensemble: Ensemble,
        judges: Ensemble,
        judges_rules: Rules,
        payloads: Payloads,
        capabilities: frozenset[Capability],
        limits: Limits | None,
        root: Path,
        surroundings: Surroundings,
        start: Start,
        rules: Rules,
        seed: int,
        phase: str = "run",
        kills: bool = False,
        errnos: bool = False,
        reclaim: Callable[[Tree], Debris | None] | None = None,
    ) -> None:
        self.scenario = scenario
        self.record = False
        self.expects_endings = False
        self.on_stop: Callable[[], None] | None = None
        self.look: Callable[[Tree], Aftermath] = self.look_afterwards
        self.on_left: Callable[[Run, Start], None] = lambda _run, _start: None
        self.decides, self.remains = decides, remains
        self._ensemble = ensemble
        self._judges = judges
        self._judges_rules = judges_rules
        self._payloads = payloads
        self._capabilities = capabilities
        self._limits = limits
        self._root = str(root)
        self._surroundings = surroundings
        self._start = start
        self._rules = rules
        self._seed = seed
        self._phase = phase
        self._faults = {"kills": kills, "errnos": errnos}
        self._reclaim = reclaim
        self._world = World(self._root)
        self._restorer = Restorer(root)
        self._dated = (start.tree, start.taken_s)
        words = (payloads.key(label) for label in ("k", "l"))
        self._names = Names((*words, *payloads.names, *start.tree.nodes))
        self._judged: dict[str, Aftermath] = {}
        self._collects_alone: bool | None = None

    # --- one run ---------------------------------------------------------------------------------

    def run(self, choose: Choose) -> GatedRun:
        """Make one run. Raises UndecidedError, HostingError, BackendError, ProtocolError."""
        performance = Performance()
        names = self._names.fresh()
        narrator = Narrator(self._root, names)
        supervisor = Supervisor(
            self._world, self._rules, lambda worker, line: self._hear(performance, worker, line)
        )
        self._restorer.restore(self._tree_of_now())
        self._surroundings.restore()
        alone = len(self.scenario.programs) == 1
        happening = Happening(supervisor, alone=alone, **self._faults)
        with self._staged(supervisor, performance):
            for worker in supervisor.workers:
                names.pid(worker.letter, worker.pid)
            supervisor.settle()
            while held := self._options(supervisor):
                waiting = self._waiting(performance, held)
                option = self._choose(choose, performance, happening, held, waiting)
                if option is None:
                    performance.cut = True
                    break
                if len(performance.choices) == self._rules.most_steps:
                    raise UndecidedError(f"no end of the run after {self._rules.most_steps} steps")
                self._step(happening, performance, narrator, held, option)
            if not performance.cut:
                last = performance.ledger.steps - 1
                performance.waiting = tuple(self._waiting(performance, held))
                performance.findings += stuck.findings(performance.players.values(), last)
            self._find_strays(performance)
            unobserved = [each for worker in supervisor.workers for each in worker.unobserved]
        return self._conclude(performance, tuple(unobserved))

    def _options(self, supervisor: Supervisor) -> list[Held]:
        """What can move. Raises HostingError when the keeper has ended and taken workers along."""
        if any(worker.is_dead for worker in supervisor.workers):
            self._ensemble.check()
        return supervisor.options()

    @contextlib.contextmanager
    def _staged(self, supervisor: Supervisor, performance: Performance) -> Iterator[None]:
        """The workers of a run, at the gate; they are gone or at rest when the block ends."""
        try:
            for letter, program in zip(
                self._ensemble.letters, self.scenario.programs, strict=False
            ):
                worker = self._ensemble.enter(letter, f"{self._seed}:{self._phase}")
                supervisor.add(worker)
                performance.players[letter] = Player(
                    worker, program(self._payloads), performance.ledger
                )
            self._world.begin({worker.pid: worker.letter for worker in supervisor.workers})
            for player in performance.players.values():
                player.worker.begin(self._world)
                player.begin()
            yield
        finally:
            with contextlib.ExitStack() as leaving:
                for worker in supervisor.workers:
                    playing = performance.players.get(worker.letter)
                    busy = playing is None or playing.current is not None
                    at_rest = not (busy or worker.held or worker.is_dead)
                    leaving.callback(self._ensemble.leave, worker, at_rest=at_rest)

    def _tree_of_now(self) -> Tree:
        """The tree with its ages kept, to a second: what is young stays too young to be reaped."""
        now_s = time.time()
        if now_s - self._dated[1] > _REDATE_S:
            self._dated = (self._start.tree_at(now_s), now_s)
        return self._dated[0]

    def _hear(self, performance: Performance, worker: GatedWorker, line: bytes) -> None:
        performance.players[worker.letter].hear(line)

    def _choose(
        self,
        choose: Choose,
        performance: Performance,
        happening: Happening,
        held: list[Held],
        waiting: Iterable[Option],
    ) -> Option | None:
        options = tuple(
            option for each in held for option in self._options_of(performance, happening, each)
        )
        moment = Moment(len(performance.choices), options, performance.executed, tuple(waiting))
        option = choose(moment)
        assert option is None or option in options, f"{option} was not offered"
        return option

    def _waiting(self, performance: Performance, offered: list[Held]) -> Iterator[Option]:
        """Who is not on offer, and what for; of who is held nowhere and owes an answer: who knows.

        Who was found to wait in the kernel, for a child or a pipe, may be woken by any step.
        """
        for player in performance.players.values():
            held = list(player.worker.held.values())
            if not held and player.current is not None and not player.worker.is_dead:
                yield Option(player.worker.letter, Footprint(opaque=True))
            for each in held:
                if not each.is_inner and each not in offered:
                    yield self._option_of(performance, each)

    def _options_of(
        self, performance: Performance, happening: Happening, held: Held
    ) -> Iterator[Option]:
        """The step that somebody stands before, and what may come in its place."""
        step = self._option_of(performance, held)
        yield step
        yield from happening.faults(held, step, performance.players[held.worker.letter].current)

    def _option_of(self, performance: Performance, held: Held) -> Option:
        current = performance.players[held.worker.letter].current
        adds = operation_order.before(current, performance.players, at_most=self.expects_endings)
        return Supervisor.option_of(held, adds)

    def _step(
        self,
        happening: Happening,
        performance: Performance,
        narrator: Narrator,
        held: list[Held],
        option: Option,
    ) -> None:
        chosen = next(each for each in held if each.actor == option.actor)
        letter, letters = chosen.worker.letter, performance.players
        operation = letters[letter].current
        begins = operation_order.before(operation, letters)
        number = performance.ledger.steps
        if operation is not None:
            operation.moves(number)
        told = narrator.tell(chosen) if self.record else ""
        performance.ledger.steps += 1
        performance.choices.append(option.label)
        executed, result = happening.take(chosen, option, operation)
        ended, asked = performance.ledger.ended_by(letter), letters[letter].current
        ends = operation_order.after(ended, None if asked is operation else asked, letters)
        crossed = begins.joined(ends)
        performance.executed = Executed(
            executed.actor, option.label, executed.footprint.joined(crossed)
        )
        if self.record:
            step = Step(
                number=number,
                actor=chosen.actor,
                label=option.label,
                operation=-1 if operation is None else operation.index,
                call=chosen.call.name,
                detail=told,
                result=result,
            )
            performance.steps.append(step)
        if self.on_stop is not None:
            self.on_stop()

    def _find_strays(self, performance: Performance) -> None:
        """Whatever has changed around the root was not the backend's to change."""
        if performance.cut:
            return
        changed = self._surroundings.changed()
        if changed:
            message = f"outside the root was changed: {', '.join(changed)}"
            finding = Finding(
                kind=FindingKind.VIOLATION, requirement="G5", rule="outside", message=message
            )
            performance.findings.append(finding)

    # --- what it left ----------------------------------------------------------------------------

    def _conclude(self, performance: Performance, unobserved: tuple[str, ...]) -> GatedRun:
        run = Run(
            scenario=self.scenario.name,
            tree=self._start.name,
            seed=self._seed,
            choices=tuple(performance.choices),
            steps=tuple(performance.steps),
            operations=performance.ledger.operations(),
            cut=performance.cut,
            unobserved=unobserved,
        )
        left: Left | None = None
        if not performance.cut:
            taken_s = time.monotonic() - performance.began_s
            start, aftermath = None, NO_AFTERMATH
            if not performance.is_stuck:
                start = Start(name="", tree=capture(self._root), taken_s=time.time())
                aftermath = self._aftermath(run, start)
            found = (*performance.findings, *self._judged_by(run, aftermath, taken_s))
            run = replace(run, findings=found)
            score = score_of(performance.ledger, run.choices)
            if start is not None and score is not None and not found:
                left = Left(score=score, start=start, aftermath=aftermath)
        outcome = ";".join(sorted(f"{each.requirement}.{each.rule}" for each in run.findings))
        ending = Ending(performance.executed, performance.cut, outcome, performance.waiting)
        return GatedRun(run=run, ending=ending, left=left)

    def reordered(self, known: GatedRun, labels: tuple[str, ...]) -> str | None:
        """The outcome of the same steps in this order, where all learn the same; None: make it.

        What is left is the same; what came before what may not be, and that is judged. A run that
        showed something is made, and so is one that would.
        """
        left = known.left
        if left is None:
            return None
        run = replace(known.run, choices=labels, operations=left.score.laid_on(labels))
        if self._judged_by(run, left.aftermath, taken_s=0.0):
            return None
        self.on_left(run, left.start)
        return ""

    def lasted(self, known: GatedRun, labels: tuple[str, ...], ending: Ending) -> GatedRun | None:
        """A run like one that showed nothing, but for a fault that was to last."""
        if known.left is None or known.run.unobserved:
            return None
        self.on_left(run := replace(known.run, choices=labels), known.left.start)
        return replace(known, run=run, ending=ending)

    def unmade(self, labels: tuple[str, ...], ending: Ending) -> GatedRun:
        """What a run gives that ended so, or was cut, after these choices and was not made."""
        run = Run(
            scenario=self.scenario.name,
            tree=self._start.name,
            seed=self._seed,
            choices=labels,
            steps=(),
            operations=(),
            cut=True,
            unobserved=(),
        )
        return GatedRun(run=run, ending=ending)

    def judge_left(self, run: Run, tree: Tree, looked: Aftermath) -> tuple[Finding, ...]:
        """Judge a run that left the tree, by what fresh workers found when they looked at it."""
        aftermath = replace(looked, lost_bytes=self._lost_bytes(tree))
        return self._judged_by(run, aftermath, taken_s=0.0)

    def _judged_by(self, run: Run, aftermath: Aftermath, taken_s: float) -> tuple[Finding, ...]:
        # A run that was not recorded has no steps, yet its operations count them.
        counted = run if run.steps else replace(run, steps=(_UNTOLD,) * len(run.choices))
        return judge(
            counted,
            self.scenario,
            self._payloads,
            self._capabilities,
            aftermath,
            waited_out=self._has_waited_out(taken_s),
            collects=self._collects(run),
            uses_locks=self.asked_for_locks,
        )

    @property
    def asked_for_locks(self) -> bool:
        """Whether anybody has asked for a lock so far, where locks are not to be trusted."""
        return self._world.lies_told + self._ensemble.lies_told > 0

    def _has_waited_out(self, taken_s: float) -> bool:
        """Whether the run may have outlasted a wait: clocks go on at the gate."""
        return self._limits is None or taken_s >= self._limits.flight_wait_s

    def _collects(self, run: Run) -> bool:
        """Whether an undisturbed collect does its work here; tried where all of a run did not."""
        asked = [each.answer for each in run.operations if each.verb is Verb.COLLECT]
        if not asked or not all(isinstance(each, Skipped) for each in asked):
            return True
        if self._collects_alone is None:
            self._restorer.restore(self._tree_of_now())
            (alone,) = self.play_alone([collector()]).operations()
            self._collects_alone = not isinstance(alone.answer, Skipped)
        return self._collects_alone

    def _aftermath(self, run: Run, start: Start) -> Aftermath:
        """What fresh workers find in the tree as it is now; it is looked at once."""
        self.on_left(run, start)
        tree = start.tree
        left = digest(tree, self._names.fresh(), mtimes=False)
        known = self._judged.get(left)
        if known is None:
            known = self._judged[left] = self.look(tree)
        return replace(known, lost_bytes=self._lost_bytes(tree))

    def _lost_bytes(self, left: Tree) -> int | None:
        """Bytes of the files that left; None where the tree does not tell what counts as freed.

        So it is where the backend counts allocated blocks, and where a file that stayed shrank.
        What was only moved, into a trash that could not be emptied, is still there.
        """
        if self._limits is None or self._limits.bytes_meaning is not BytesMeaning.ST_SIZE:
            return None
        before = self._start.tree.nodes
        if any(left.nodes[path].size < before[path].size for path in before.keys() & left.nodes):
            return None
        return lost_bytes(self._start.tree, left)

    def look_afterwards(self, tree: Tree) -> Aftermath:
        """What fresh workers find below the root, where this tree is."""
        played = self.play_alone(asked_afterwards(self.scenario, self._start.name))
        debris = None if self._reclaim is None else self._reclaim(tree)
        return Aftermath(operations=played.operations(), debris=debris)

    def play_alone(self, programs: Sequence[Program]) -> Ledger:
        """Let one fresh worker play programs in turn, held by nobody and with true locks.

        When it dies, what it was asked last stays without an answer, and nothing more is asked.
        Raises UndecidedError, HostingError, BackendError, ProtocolError.
        """
        ledger = Ledger()
        players: list[Player] = []
        supervisor = Supervisor(
            self._world, self._judges_rules, lambda _worker, line: players[-1].hear(line)
        )
        worker = self._judges.enter(JUDGE, f"{self._seed}:{self._phase}:after")
        try:
            supervisor.add(worker)
            for program in programs:
                players.append(Player(worker, program(self._payloads), ledger))
                players[-1].begin()
                supervisor.settle_until(lambda: players[-1].current is None)
                if players[-1].current is not None:
                    self._judges.check()
                    break
        finally:
            self._judges.leave(worker, at_rest=not worker.awaits_answer)
        return ledger


_UNTOLD = Step(number=0, actor="", label="", operation=-1, call="", detail="", result="")
