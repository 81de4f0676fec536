"""Plain programs at the gate as a system that a scheduler drives: no protocol, only their calls.

    empty the directory and prepare it, start each program at its first call
    until nobody can move: settle, offer the options, let the chosen call go
    tell what was done, how each program ended and what it printed

Rule 1: every run begins from an empty directory that ``prepare`` has filled, with the same seed.
Rule 2: everything is told in canonical words, so that two runs of the same choices are equal values
        or the gate has lost control.
Rule 3: a run ends when nobody can move. A program that is alive then waits for what never comes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from untorn_stress.gate.hosting import Keeper, Order
from untorn_stress.gate.supervisor import Rules, Supervisor
from untorn_stress.gate.worker import GatedWorker, Held
from untorn_stress.gate.world import World
from untorn_stress.names import Names
from untorn_stress.narration import Narrator
from untorn_stress.run import Step
from untorn_stress.schedulers.protocol import Ending, Executed, Moment, Option

Choose = Callable[[Moment], Option | None]
LETTERS: Final = "ABCDEFGH"
STUCK: Final = "stuck"
"""How a program ended that has not: it waits, and nobody is left to wake it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgramsRun:
    """One run: its steps, the choices that led there, and what became of the programs.

    ``ends`` says of each program ``exit 0``, ``signal 9`` or ``stuck``; it is empty where the run
    was cut. ``printed`` are the lines that each wrote to stdout.
    """

    steps: tuple[Step, ...]
    choices: tuple[str, ...]
    ends: tuple[str, ...]
    printed: tuple[tuple[bytes, ...], ...]
    unobserved: tuple[str, ...]
    ending: Ending

    @property
    def log(self) -> tuple[str, ...]:
        """The run in canonical lines: its steps, then how each program ended."""
        told = [f"{each.actor} {each.call} {each.detail} = {each.result}" for each in self.steps]
        return (*told, *self.ends)


@dataclass(slots=True)
class _Performance:
    """One run while it goes on."""

    narrator: Narrator
    steps: list[Step] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)
    printed: dict[str, list[bytes]] = field(default_factory=dict)
    executed: Executed | None = None
    cut: bool = False


def _leave_empty(_: Path) -> None:
    """Prepare nothing."""


class GatedPrograms:
    """Programs (argument vectors) that work below one directory; the first is A, the next B, ...

    ``words`` are names that stay as they are in what is told, besides those that are there at the
    start. ``keeper`` starts programs; it is the caller's to close.
    """

    def __init__(
        self,
        programs: Sequence[Sequence[str]],
        *,
        root: Path,
        keeper: Keeper,
        rules: Rules | None = None,
        seed: int = 0,
        env: Mapping[str, str] | None = None,
        prepare: Callable[[Path], None] = _leave_empty,
        words: Iterable[str] = (),
    ) -> None:
        assert len(programs) <= len(LETTERS), f"at most {len(LETTERS)} programs"
        self._programs = tuple(tuple(each) for each in programs)
        self._root = root
        self._keeper = keeper
        self._rules = rules or Rules()
        self._chance = str(seed)
        self._env = dict(env or {})
        self._prepare = prepare
        self._names = Names(tuple(words))

    def run(self, choose: Choose) -> ProgramsRun:
        """Make one run. Raises UndecidedError, HostingError."""
        performance = _Performance(Narrator(str(self._root), self._names.fresh()))
        self._empty()
        self._prepare(self._root)
        world = World(str(self._root))

        def hear(worker: GatedWorker, line: bytes) -> None:
            performance.printed[worker.letter].append(line)
            worker.awaits_answer = True  # a line is no answer: it goes on

        supervisor = Supervisor(world, self._rules, hear)
        with self._started(supervisor, world, performance) as workers:
            supervisor.settle()
            while held := supervisor.options():
                option = self._choose(choose, performance, held)
                if option is None:
                    performance.cut = True
                    break
                self._step(supervisor, performance, held, option)
            ends = () if performance.cut else tuple(self._end_of(each) for each in workers)
            unobserved = tuple(each for worker in workers for each in worker.unobserved)
        return ProgramsRun(
            steps=tuple(performance.steps),
            choices=tuple(performance.choices),
            ends=ends,
            printed=tuple(tuple(lines) for lines in performance.printed.values()),
            unobserved=unobserved,
            ending=Ending(performance.executed, performance.cut, "; ".join(ends)),
        )

    def _empty(self) -> None:
        with os.scandir(self._root) as children:
            for child in children:
                if child.is_dir(follow_symlinks=False):
                    shutil.rmtree(child.path)
                else:
                    os.unlink(child.path)

    @contextlib.contextmanager
    def _started(
        self, supervisor: Supervisor, world: World, performance: _Performance
    ) -> Iterator[list[GatedWorker]]:
        """Every program, at its first gated call; they are gone when the block ends."""
        try:
            for letter, argv in zip(LETTERS, self._programs, strict=False):
                order = Order(
                    letter=letter,
                    argv=argv,
                    env=self._env,
                    grain=self._rules.grain,
                    chance=self._chance,
                )
                worker, _ = self._keeper.start(order)
                supervisor.add(worker)
                performance.printed[letter] = []
                worker.awaits_answer = True
            world.begin()
            for worker in supervisor.workers:
                worker.begin(world)
            yield list(supervisor.workers)
        finally:
            supervisor.close()

    @staticmethod
    def _choose(choose: Choose, performance: _Performance, held: list[Held]) -> Option | None:
        options = tuple(Supervisor.option_of(each) for each in held)
        option = choose(Moment(len(performance.choices), options, performance.executed))
        assert option is None or option in options, f"{option} was not offered"
        return option

    @staticmethod
    def _step(
        supervisor: Supervisor, performance: _Performance, held: list[Held], option: Option
    ) -> None:
        chosen = next(each for each in held if each.actor == option.actor)
        told = performance.narrator.tell(chosen)
        performance.choices.append(option.label)
        performance.executed, done = supervisor.take(chosen)
        step = Step(
            number=len(performance.steps),
            actor=chosen.actor,
            label=option.label,
            operation=-1,
            call=chosen.call.name,
            detail=told,
            result=done.result,
        )
        performance.steps.append(step)

    def _end_of(self, worker: GatedWorker) -> str:
        if not worker.is_over:
            return STUCK
        status = os.waitstatus_to_exitcode(self._keeper.wait_status(worker.pid))
        return f"exit {status}" if status >= 0 else f"signal {-status}"
