"""The supervisor: keeps all workers of a run still, and lets one held call go at a time.

    settle()    until every worker stands still
    options()   what can happen next
    take()      one step, then settle

Rule 1: a choice is made only at quiescence.
Rule 2: asleep everywhere and nothing to choose is a deadlock; a deadline that passed is unknown.
Rule 3: whoever waits for a lock is offered again when a step has changed that lock. To go on
        waiting changes nothing, so two who wait do not wake each other.
"""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from untorn_stress.gate.execution import WAITS, Done, Execution
from untorn_stress.gate.intake import Intake
from untorn_stress.gate.settling import Settling, UndecidedError
from untorn_stress.gate.worker import GatedWorker, Held
from untorn_stress.gate.world import World
from untorn_stress.grain import Grain
from untorn_stress.schedulers.protocol import NOTHING, Executed, Footprint, Option

__all__ = ["Rules", "Supervisor", "UndecidedError"]
STEP_DEADLINE_S: Final = 30.0
MOST_STEPS: Final = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """How a run is gated.

    ``locks`` is what is said of them: "real", "noop" or an errno's name. ``sees_inodes`` has the
    freeing and taking of inode numbers count as an object. ``offers_yielded`` always offers who
    waits for time to pass, and not only when another has moved or nothing else can. A run of more
    than ``most_steps`` steps is given up: somebody never ends. What is locked, changed or opened to
    be written outside of the root is noted as unobserved, but for what is in the worker's own
    folder, ``own_folders`` and its letter; nothing is where that is empty.
    """

    grain: Grain = Grain.METADATA
    locks: str = "real"
    sees_inodes: bool = False
    offers_yielded: bool = False
    deadline_s: float = STEP_DEADLINE_S
    most_steps: int = MOST_STEPS
    own_folders: str = ""


class Supervisor:
    """Gates the workers of one run. ``on_line`` is told of each line that a worker answers."""

    def __init__(
        self, world: World, rules: Rules, on_line: Callable[[GatedWorker, bytes], None]
    ) -> None:
        self.workers: list[GatedWorker] = []
        self._moves: dict[str, int] = {}
        self._rules = rules
        self._intake = Intake(
            world,
            lie=rules.locks,
            sees_inodes=rules.sees_inodes,
            own_folders=rules.own_folders,
            holds_closes=rules.grain is Grain.DATA,
            moves=self._moves,
        )
        self._execution = Execution(
            world, self._intake, lie=rules.locks, sees_inodes=rules.sees_inodes
        )
        self._on_line = on_line
        self._poller = select.poll()
        self._by_fd: dict[int, GatedWorker] = {}
        self._stalled = False
        self._settling = Settling(self.workers, self._handle_events, deadline_s=rules.deadline_s)

    def add(self, worker: GatedWorker) -> None:
        """Take a worker in; it is let pass until it is told to ``begin``."""
        self.workers.append(worker)
        for fd in (worker.listener.fd, worker.stdout, worker.pidfd):
            self._by_fd[fd] = worker
            self._poller.register(fd, select.POLLIN)

    # --- standing still --------------------------------------------------------------------------

    def settle_until(self, done: Callable[[], bool]) -> None:
        """Let everything pass until ``done`` or until a worker has ended; raises UndecidedError."""
        end_s = time.monotonic() + self._rules.deadline_s
        while not done() and not any(worker.is_dead for worker in self.workers):
            left_s = end_s - time.monotonic()
            if left_s <= 0 or not self._handle_events(1000 * left_s):
                raise UndecidedError(f"no answer in {self._rules.deadline_s} s")

    def settle(self) -> None:
        """Return when every worker stands still; raises UndecidedError."""
        self._settling.settle(after_step=False)

    def _handle_events(self, timeout_ms: float) -> bool:
        """Take in what has happened; False if nothing did."""
        events = self._poller.poll(timeout_ms)
        by_fd = self._by_fd
        for fd, event in events:
            worker = by_fd[fd]
            if fd == worker.listener.fd:
                if event & select.POLLIN:
                    self._intake.receive(worker)
                elif event & select.POLLHUP:
                    worker.has_hung_up = True
                    self._poller.unregister(fd)
            elif fd == worker.stdout:
                self._take_lines(worker, event)
            else:
                worker.is_dead = True
                self._poller.unregister(fd)
        return bool(events)

    def _take_lines(self, worker: GatedWorker, event: int) -> None:
        if event & select.POLLIN:
            while (line := worker.take_line()) is not None:
                self._on_line(worker, line)
        elif event & select.POLLHUP:
            self._poller.unregister(worker.stdout)

    # --- choosing and moving ---------------------------------------------------------------------

    def options(self) -> list[Held]:
        """What can be let go now, by actor; empty when nothing can move."""
        held = [
            each for worker in self.workers for each in worker.held.values() if not each.is_inner
        ]
        if len(held) > 1:
            held.sort(key=Held.rank)
        ready = [each for each in held if not each.waits_for_lock]
        if not ready and not self._stalled:
            self._stalled = True  # a lock may have been let go in a way that we do not see
            for each in held:
                each.waits_for_lock = False
            ready = held
        if self._rules.offers_yielded:
            return ready
        fresh = [each for each in ready if not each.yielded or self._intake.has_others_moved(each)]
        return fresh or ready

    @staticmethod
    def option_of(held: Held, adds: Footprint = NOTHING) -> Option:
        """The option that stands for a held call, which touches besides what it ``adds``."""
        if adds is not NOTHING:
            return Option(held.actor, held.expected.joined(adds), yielded=held.yielded)
        known = held.option
        if known is None or known.footprint is not held.expected or known.actor != held.actor:
            known = held.option = Option(held.actor, held.expected, yielded=held.yielded)
        return known

    def take(self, held: Held) -> tuple[Executed, Done]:
        """Let one call go and wait until all stands still again. Raises UndecidedError."""
        return self._moved(held, self._execution.let_go(held))

    def refuse(self, held: Held, name: str) -> tuple[Executed, Done]:
        """Answer one call with an errno in its place, and wait. Raises UndecidedError."""
        return self._moved(held, self._execution.refuse(held, name))

    def shorten(self, held: Held) -> tuple[Executed, Done]:
        """Let one write write a part of what it should, and wait. Raises UndecidedError."""
        return self._moved(held, self._execution.shorten(held))

    def _moved(self, held: Held, done: Done) -> tuple[Executed, Done]:
        self._count_move(held.actor)
        if done.result != WAITS:
            self._stalled = False
        self._renew(held.actor, done, held)
        return Executed(held.actor, held.actor, self._settled(done.footprint)), done

    def _count_move(self, actor: str) -> None:
        """Who waits for time may look again: another has moved, or died."""
        self._moves[actor] = self._moves.get(actor, 0) + 1

    def _settled(self, footprint: Footprint) -> Footprint:
        """Wait until all stands still after a step: what it touched, and what was glanced at."""
        for worker in self.workers:
            worker.glances.clear()
        self._settling.settle(after_step=True)
        for worker in self.workers:
            if worker.glances:
                reads = frozenset(worker.glances)
                closed = frozenset(name for name in reads if name.startswith("h:"))
                footprint = footprint.joined(Footprint(reads, unseen=closed, marks=closed))
        return footprint

    def _renew(self, mover: str, done: Done, taken: Held | None = None) -> None:
        """Look anew at what others are held at, where the step may have changed it."""
        for worker in self.workers:
            for held in worker.held.values():
                if held is taken or not held.expected.conflicts(done.footprint):
                    continue
                if held.waits_for_lock and done.changes_lock and held.actor != mover:
                    held.waits_for_lock = not _touches_lock(done.footprint, held)
                if held.places:
                    self._intake.look(held)
                elif held.named:
                    self._intake.expect(held)

    def death_of(self, worker: GatedWorker) -> Footprint:
        """What the death of a worker would touch: the locks and the nameless files that go."""
        return self._execution.death_of(worker)

    def kill(self, worker: GatedWorker, *, within: Held | None = None) -> Footprint:
        """SIGKILL a worker with all below it, and wait until all stands still again.

        What it is held at does not happen, but for the half of a write that it dies ``within``.
        Raises StillRunningError, UndecidedError.
        """
        touched = self.death_of(worker)
        if within is not None:
            touched = touched.joined(self._execution.shorten_unanswered(within))
        worker.kill()
        self._poller.unregister(worker.pidfd)
        for fd in (worker.listener.fd, worker.stdout):
            with contextlib.suppress(KeyError):  # it hung up before
                self._poller.unregister(fd)
        worker.bury_all()
        self._count_move(worker.letter)
        self._stalled = False
        self._renew(worker.letter, Done("killed", touched))
        self._settling.settle(after_step=True)
        return touched

    def orphan(self, worker: GatedWorker) -> Footprint:
        """SIGKILL the first process of a worker, and wait until all stands still again.

        What else there is below it goes on. Raises StillRunningError, UndecidedError.
        """
        touched = self.death_of(worker)
        worker.orphan()
        self._poller.unregister(worker.pidfd)
        self._count_move(worker.letter)
        self._stalled = False
        self._renew(worker.letter, Done("orphaned", touched))
        self._settling.settle(after_step=True)
        return touched

    def renew_expected(self) -> None:
        """Work out again what every held call would touch."""
        for worker in self.workers:
            for held in worker.held.values():
                if held.places or held.named:
                    self._intake.expect(held)

    def close(self) -> None:
        """End every worker."""
        for worker in self.workers:
            worker.close()
        self.workers.clear()


def _touches_lock(footprint: Footprint, held: Held) -> bool:
    """Whether a step may have let go the lock that is waited for; the file's data tells nothing."""
    wanted = {each for each in held.expected.reads | held.expected.writes if each[:2] == "l:"}
    return footprint.opaque or not wanted.isdisjoint(footprint.writes)
