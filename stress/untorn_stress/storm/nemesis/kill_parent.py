"""SIGKILL of the parent only: the decoder that it started lives on, and writes on (C5).

The strike lies in wait until somebody has a child at work. The child stands still while its parent
dies, so that it certainly outlives it, and goes on as soon as that was seen.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from random import Random
from typing import Final

from untorn_conformance.history import Excuse

from untorn_stress import supervise
from untorn_stress.storm.crew import StormWorker
from untorn_stress.storm.nemesis.kill_tree import descendants_of, send
from untorn_stress.storm.nemesis.protocol import Blow, Field, after

_LURKS_S: Final = 1.5
_STOPPING_S: Final = 0.5
_STILL: Final = frozenset("Tt")


class KillParent:
    """Kills a worker that has a child at work."""

    name: Final = "kill-parent"
    lasts_s: Final = 1.5
    excuses: Final = (Excuse.KILLS,)

    def cannot(self, field: Field) -> str:
        """Only workers that extract have children (with backends of one process)."""
        if field.has_role("extractor"):
            return ""
        return "nobody starts processes: give --extract, with a backend that extracts"

    def strike(self, field: Field, dice: Random) -> Blow | None:
        """Wait for a parent and kill it; it bit if a child was seen to live on after its death."""
        ends = after(_LURKS_S)
        victims: list[StormWorker] = []
        still: list[int] = []
        survived: list[bool] = []

        def over() -> bool:
            if not victims:
                parents = [each for each in field.living("extractor") if not each.stopped]
                dice.shuffle(parents)
                _catch(parents, victims, still)
                if not victims:
                    return ends()
                field.kill(victims[0])
                blow.detail = f"{victims[0].name}, {len(still)} processes below"
                blow.processes = (victims[0].name,)
                blow.in_force = True
            if not field.death_of(victims[0].name):
                return False
            survived.append(any(not supervise.is_gone(pid) for pid in still))
            return True

        def heal() -> None:
            for pid in still:
                send(pid, signal.SIGCONT)

        blow = Blow(
            name=self.name,
            excuses=self.excuses,
            begin_ns=time.monotonic_ns(),
            over=over,
            heal=heal,
            proof=lambda: (
                bool(victims) and field.death_of(victims[0].name) == "SIGKILL" and any(survived)
            ),
            detail="nobody had a child at work",
            in_force=False,
        )
        return blow


def _catch(parents: Sequence[StormWorker], victims: list[StormWorker], still: list[int]) -> None:
    """Find one whose children could be stopped, and stop them."""
    for parent in parents:
        below = descendants_of(parent.pid)
        for pid in below:
            send(pid, signal.SIGSTOP)
        stopped = [pid for pid in below if _stands_still(pid)]
        if stopped:
            victims.append(parent)
            still += stopped
            return
        for pid in below:
            send(pid, signal.SIGCONT)


def _stands_still(pid: int) -> bool:
    end_s = time.monotonic() + _STOPPING_S
    while time.monotonic() < end_s:
        states = supervise.thread_states(pid)
        if not states or states <= frozenset("ZX"):
            return False  # it ended by itself
        if states <= _STILL:
            return True
    return False
