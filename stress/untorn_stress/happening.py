"""What can happen to a held worker besides its step, and making it, or the step, happen.

Rule 1: a worker that has taken no step for its operation yet is not killed: it might as well not
        be there. Of several threads on offer the first is the one in whose place it dies.
Rule 2: an errno is noted with the operation that met it, once the target has it: it stands
        somewhere else by then, or has ended.
"""

from __future__ import annotations

from collections.abc import Iterator

from untorn_stress.faults import SHORT, Afflictions, Refusal, can_be_short
from untorn_stress.gate.supervisor import Supervisor
from untorn_stress.gate.worker import Held
from untorn_stress.player import Asked
from untorn_stress.run import KILL, KILL_PARENT, KILL_WITHIN
from untorn_stress.schedulers.protocol import Executed, Option


class Happening:
    """The faults of one run; ``kills`` and ``errnos`` say which are offered.

    ``alone``: there is one worker, so that every step is one at which everything may die.
    """

    def __init__(self, supervisor: Supervisor, *, kills: bool, errnos: bool, alone: bool) -> None:
        self._supervisor = supervisor
        self._kills = kills
        self._errnos = errnos
        self._alone = alone
        self._afflictions = Afflictions()

    def faults(self, held: Held, step: Option, asked: Asked | None) -> Iterator[Option]:
        """What may come in the place of the step that somebody stands before."""
        if self._errnos and asked is not None:
            for fault in self._afflictions.offered(held):
                yield step._replace(fault=fault, yielded=False)
        is_amid = self._alone or (asked is not None and asked.has_moved)
        if self._kills and is_amid and _is_first(held):
            death = self._supervisor.death_of(held.worker)
            yield Option(held.actor, death._replace(ends=True), fault=KILL)
            if can_be_short(held.call):
                yield Option(held.actor, death.joined(step.footprint), fault=KILL_WITHIN)
            if held.worker.has_children:
                yield Option(held.actor, death, fault=KILL_PARENT)

    def take(self, held: Held, option: Option, asked: Asked | None) -> tuple[Executed, str]:
        """Have the option happen: what it touched, and the result in words.

        Raises StillRunningError, UndecidedError.
        """
        supervisor, worker = self._supervisor, held.worker
        if option.fault == KILL_PARENT:
            return Executed(held.actor, option.label, supervisor.orphan(worker)), ""
        if option.fault in (KILL, KILL_WITHIN):
            within = held if option.fault == KILL_WITHIN else None
            touched = supervisor.kill(worker, within=within)
            if within is None:
                touched = touched._replace(ends=True)
            return Executed(held.actor, option.label, touched), ""
        refusal = Refusal.of(option.fault)
        name = self._afflictions.met_by(held) if refusal is None else refusal.errno
        if refusal is not None:
            self._afflictions.begin(held, refusal)
        if option.fault == SHORT:
            executed, done = supervisor.shorten(held)
        elif name:
            executed, done = supervisor.refuse(held, name)
        else:
            executed, done = supervisor.take(held)
        if asked is not None and (name or option.fault == SHORT):
            asked.faults.append(name or SHORT)
        return executed, done.result


def _is_first(held: Held) -> bool:
    """Whether no other thread of the worker that can move comes before it."""
    others = held.worker.held.values()
    able = (each for each in others if not each.is_inner and not each.waits_for_lock)
    return held is min(able, key=Held.rank, default=None)
