"""Who lives in a fray: workers by slot, name and process id, and how they are signalled.

Rule 1: signals go through a pidfd: a process id may be a stranger's by now (pidfd_open(2)).
Rule 2: a stop counts when every thread of the process stands still, in /proc.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Final

from untorn_stress import supervise
from untorn_stress.storm.crew import StormWorker

_STOPPING_S: Final = 1.0
_STILL: Final = frozenset("Tt")


class Population:
    """The workers of one round; those that were buried are in ``by_slot`` until replaced."""

    def __init__(self) -> None:
        self.by_slot: dict[int, StormWorker] = {}
        self.by_name: dict[str, StormWorker] = {}
        self._by_pid: dict[int, StormWorker] = {}
        self._pidfds: dict[str, int] = {}

    def add(self, worker: StormWorker) -> None:
        """A worker was asked for; its process id is not known yet."""
        self.by_slot[worker.slot] = self.by_name[worker.name] = worker

    def started(self, name: str, pid: int) -> None:
        """The nursery told a worker's process id."""
        worker = self.by_name.get(name)
        if worker is None:
            return
        worker.pid = pid
        self._by_pid[pid] = worker
        try:
            self._pidfds[name] = os.pidfd_open(pid)
        except ProcessLookupError:
            return  # it has ended already: the next news tells how

    def bury(self, pid: int) -> StormWorker | None:
        """The nursery told that a process has ended; the worker that it was, if it was one."""
        worker = self._by_pid.pop(pid, None)
        if worker is not None:
            del self.by_name[worker.name]
            pidfd = self._pidfds.pop(worker.name, None)
            if pidfd is not None:
                os.close(pidfd)
        return worker

    def signal(self, worker: StormWorker, number: signal.Signals) -> bool:
        """Send a signal; whether there was somebody to send it to."""
        pidfd = self._pidfds.get(worker.name)
        if pidfd is None:
            return False
        try:
            signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            return False  # it ended by itself: the nursery will tell how
        return True

    def stop(self, worker: StormWorker) -> bool:
        """SIGSTOP; whether it was seen to stand still."""
        if not self.signal(worker, signal.SIGSTOP):
            return False
        worker.stopped = True
        end_s = time.monotonic() + _STOPPING_S
        while time.monotonic() < end_s:
            states = supervise.thread_states(worker.pid)
            if states and states <= _STILL:
                return True
        return False

    def close(self) -> None:
        """Give every descriptor back, also where something failed."""
        for worker in self.by_name.values():
            worker.streams.close()
        for pidfd in self._pidfds.values():
            os.close(pidfd)
        self.by_name.clear()
        self._pidfds.clear()


def how_ended(status: int) -> str:
    """A wait status in words."""
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return f"exit code {os.waitstatus_to_exitcode(status)}"
