"""SIGKILL of a worker and of all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
from random import Random
from typing import Final

from untorn_conformance.history import Excuse

from untorn_stress.storm.nemesis.protocol import Blow, Field, kills
from untorn_stress.storm.nursery import children_of


def descendants_of(pid: int) -> list[int]:
    """All below a process, parents before their children."""
    found = children_of(pid)
    for each in found:
        found += children_of(each)
    return found


class KillTree:
    """Kills several workers at once, each with its tree: as an out-of-memory killer or a reboot."""

    name: Final = "kill-tree"
    lasts_s: Final = 0.0
    excuses: Final = (Excuse.KILLS,)

    def cannot(self, field: Field) -> str:
        """It always can."""
        del field
        return ""

    def strike(self, field: Field, dice: Random) -> Blow | None:
        """Kill one to three workers and all below them, the workers first; never a stopped one."""
        living = [each for each in field.living() if not each.stopped]
        if not living:
            return None
        victims = dice.sample(living, min(len(living), dice.randint(1, 3)))
        below = [pid for each in victims for pid in descendants_of(each.pid)]
        pidfds = [fd for fd in map(_opened, below) if fd >= 0]
        detail = f"{', '.join(each.name for each in victims)}, with {len(below)} processes below"
        blow = kills(field, self.name, victims, detail)
        for fd in pidfds:
            with contextlib.suppress(ProcessLookupError):  # it ended by itself
                signal.pidfd_send_signal(fd, signal.SIGKILL)
            os.close(fd)
        return blow


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that was just seen below one of ours."""
    fd = _opened(pid)
    if fd < 0:
        return
    try:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself
            signal.pidfd_send_signal(fd, number)
    finally:
        os.close(fd)


def _opened(pid: int) -> int:
    """A descriptor of a process; -1 where it has ended."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return -1
