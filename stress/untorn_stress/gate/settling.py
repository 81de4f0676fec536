"""Bringing all workers of a run to a standstill, and dealing there with what is no step.

Rule 1: a worker of one thread stands still when it is held or has ended; else it is looked at when
        nothing comes of it. Who was found asleep is looked at again after each step, but for those
        who have answered all: once is enough, since nothing of a run wakes them.
Rule 2: threads are named at each standstill, before anything is chosen or drawn.
Rule 3: what is held but is no step (``Held.is_inner``) goes on here, one thread at a time, in the
        order of actors: so chance and inner waits do not depend on which thread came first.
Rule 4: an inner wait whose word has not changed goes on in the kernel when nothing else is held,
        once between two steps, or when somebody computes for long: it may want the lock.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Final

from untorn_stress.gate import waits
from untorn_stress.gate.calls import CallKind
from untorn_stress.gate.intake import Intake
from untorn_stress.gate.quiescence import Sight
from untorn_stress.gate.worker import GatedWorker, Held

_GLANCE_MS: Final = 3.0
_COMPLEX_GLANCE_MS: Final = 1.0
_PATIENCE_S: Final = 0.2


class UndecidedError(Exception):
    """The workers did not come to a standstill in time: nothing is known of this run."""


class Settling:
    """Settles ``workers``.

    ``handle_events`` takes in what happens within so many milliseconds, and tells whether anything
    did.
    """

    def __init__(
        self,
        workers: Sequence[GatedWorker],
        handle_events: Callable[[float], bool],
        *,
        deadline_s: float,
    ) -> None:
        self._workers = workers
        self._handle_events = handle_events
        self._deadline_s = deadline_s
        self._passed: set[tuple[int, int]] = set()

    def settle(self, *, after_step: bool) -> None:
        """Return when every worker stands still; raises UndecidedError."""
        end_s = time.monotonic() + self._deadline_s
        if after_step:
            self._passed.clear()
        while True:
            self._stand_still(end_s)
            if self._is_all_at_steps():
                return
            complex_or_dead = [each for each in self._workers if each.is_dead or not each.is_plain]
            if self._has_woken() or any(each.forget_dead() for each in complex_or_dead):
                continue
            for worker in self._workers:
                if not worker.is_plain:
                    worker.name_threads()
            if not self._go_on():
                return

    def _is_all_at_steps(self) -> bool:
        """Whether all are plain and held at steps, or have answered all: nothing else is to do."""
        for worker in self._workers:
            if worker.is_dead or not worker.is_plain or worker.asleep is not None:
                return False
            for held in worker.held.values():
                if held.is_inner:
                    return False
        return True

    def _stand_still(self, end_s: float) -> None:
        glances: dict[str, Sight | None] = {}
        wait_ms = _COMPLEX_GLANCE_MS
        active_s = 0.0
        while unsettled := [worker for worker in self._workers if not worker.is_settled]:
            if time.monotonic() > end_s:
                names = ", ".join(worker.letter for worker in unsettled)
                raise UndecidedError(f"{names} did not stand still in {self._deadline_s} s")
            patience_ms = 0.0  # who has answered is about to sleep
            for worker in unsettled:
                if not worker.is_plain:
                    patience_ms = wait_ms
                    break
                if worker.awaits_answer:
                    patience_ms = _GLANCE_MS
            if self._handle_events(patience_ms):
                if glances:
                    glances.clear()
                wait_ms = active_s = 0.0
                continue
            if self._all_asleep(unsettled, glances):
                return
            wait_ms = _COMPLEX_GLANCE_MS if None in glances.values() else 0.0
            now_s = time.monotonic()
            active_s = active_s or now_s
            if now_s - active_s > _PATIENCE_S:
                active_s = now_s
                for held in self._inner():
                    self._let_pass(held)

    def _has_woken(self) -> bool:
        """Whether the step of another has woken somebody who was found asleep."""
        woken = [
            worker
            for worker in self._workers
            if worker.asleep is not None and worker.look() != worker.asleep
        ]
        for worker in woken:
            worker.asleep = None
        return bool(woken)

    @staticmethod
    def _all_asleep(unsettled: Sequence[GatedWorker], glances: dict[str, Sight | None]) -> bool:
        """Look at each; true when all look as they did before. A plain one is noted asleep."""
        still = True
        for worker in unsettled:
            seen = worker.look()
            before = glances.get(worker.letter)
            glances[worker.letter] = seen
            if seen is None:
                os.sched_yield()  # it may be waiting for the processor that we look with
            if seen is None or seen != before:
                still = False
            elif worker.is_plain and not worker.awaits_answer:
                worker.has_rested = True
            elif worker.is_plain:
                worker.asleep = seen
            else:
                worker.is_gone = worker.has_hung_up and not seen
        return still

    # --- what is no step -------------------------------------------------------------------------

    def _inner(self) -> list[Held]:
        inner = [each for worker in self._workers for each in worker.held.values() if each.is_inner]
        return sorted(inner, key=Held.rank)

    def _go_on(self) -> bool:
        """Let one thread go on that is held at no step; False when there is none that can."""
        inner = self._inner()
        for held in inner:
            if held.call.kind is CallKind.RANDOM:
                del held.worker.held[held.notification.tid]
                Intake.answer_chance(held)
                return True
            if waits.is_over(held.call, held.target):
                del held.worker.held[held.notification.tid]
                held.worker.listener.let_go(held.notification.id)
                return True
        if any(not each.is_inner for worker in self._workers for each in worker.held.values()):
            return False
        for held in inner:
            wait = (held.notification.tid, held.call.arguments[0])
            if wait not in self._passed:
                self._passed.add(wait)
                self._let_pass(held)
                return True
        return False

    @staticmethod
    def _let_pass(held: Held) -> None:
        if held.call.kind is CallKind.WAIT:
            del held.worker.held[held.notification.tid]
            held.worker.let_time_pass(held)
