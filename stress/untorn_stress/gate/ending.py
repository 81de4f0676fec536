"""Ending all that lives below one gate, for certain: chains of forks, orphans, new sessions.

Rule 1: the gate itself helps: while we kill, no held call is answered, so nobody below it forks or
        execs any more, and whoever tries shows itself by its held call.
Rule 2: besides these, a process is below the gate when it descends from a known one or is in the
        session of one. Who made a session of its own and then forked is known: its fork was held.
Rule 3: it is over when the kernel says that the gate has no user left, or when only zombies are
        left: kernels before 6.11 count them until their parent, who may be a stranger, has waited.

Rule 4: since 6.11 the gate hangs up before the files of its last user are closed, so whoever is
        exiting then is waited for: its locks are let go by its last thread.

Limit: a process that left its session, lost its parent and has made no held call since cannot be
told from a stranger. StillRunningError then says that something runs; the keeper's end is its end.
Sources: seccomp_unotify(2) on POLLHUP, setsid(2), proc_pid_stat(5).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from untorn_stress.gate import quiescence
from untorn_stress.gate.listener import Listener

END_DEADLINE_S: Final = 30.0
_PATIENCE_S: Final = 0.5
_GONE: Final = frozenset("ZX")
_PF_EXITING: Final = 0x4


class StillRunningError(Exception):
    """Something below a gate could not be found, or did not die."""


class _Process(NamedTuple):
    pid: int
    state: str
    parent: int
    session: int


def end_all_below(listener: Listener, known: Collection[int]) -> None:
    """Kill the processes ``known`` to be below the gate and all others below it; wait for the end.

    Nobody is killed when the gate has no user any more: those ids may be strangers' by now. Raises
    StillRunningError after END_DEADLINE_S.
    """
    poller = select.poll()
    poller.register(listener.fd, select.POLLIN)
    end_s = time.monotonic() + END_DEADLINE_S
    below = set(known)
    left: Collection[int] = below
    while not _has_hung_up(poller, listener, below, left):
        were_left = left
        found = _below(below)
        left = {each.pid for each in found if each.state not in _GONE}
        if found and not left and not were_left:
            return
        below.update(left)
        if time.monotonic() > end_s:
            pids = ", ".join(map(str, sorted(left))) or "a process that is not known"
            raise StillRunningError(f"{pids} still ran {END_DEADLINE_S} s after its SIGKILL")
    for pid in filter(_is_exiting, below):
        _await_end(pid, end_s)


def end_process(pidfd: int, pid: int) -> None:
    """SIGKILL one process, and wait for its end alone. Raises StillRunningError."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    if not poller.poll(END_DEADLINE_S * 1000):
        raise StillRunningError(f"{pid} still ran {END_DEADLINE_S} s after its SIGKILL")


def _has_hung_up(
    poller: select.poll, listener: Listener, below: set[int], victims: Collection[int]
) -> bool:
    """Kill, and wait a while for the gate's last user to end. Who is held meanwhile is killed."""
    end_s = time.monotonic() + _PATIENCE_S
    pending = list(victims)
    while True:
        wait_s = 0.0 if pending else max(0.0, end_s - time.monotonic())
        for _, event in poller.poll(wait_s * 1000):
            if not event & select.POLLIN:
                return True
            pending += _caller(listener, below)
        if not pending and time.monotonic() >= end_s:
            return False
        while pending:
            _kill(pending.pop())


def _caller(listener: Listener, below: set[int]) -> list[int]:
    """The process of a thread that has come to the gate: none when it is gone already."""
    held = listener.receive()
    with contextlib.suppress(OSError):
        if held is not None:
            pid = quiescence.process_of(held.tid)
            if listener.is_held(held.id):
                below.add(pid)
                return [pid]
    return []


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself
        os.kill(pid, signal.SIGKILL)


def _is_exiting(pid: int) -> bool:
    """Whether a thread of the process is on its way out, and not over yet (PF_EXITING)."""
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/stat", "rb") as stat:
                fields = stat.read().rpartition(b")")[2].split()
            if int(fields[6]) & _PF_EXITING and fields[0].decode() not in _GONE:
                return True
    except OSError:
        return False  # it is over
    return False


def _await_end(pid: int, end_s: float) -> None:
    """Wait until nothing of a process runs that is on its way out; it needs this processor, too."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return  # it is over
    try:
        poller = select.poll()
        poller.register(pidfd, select.POLLIN)
        while _is_exiting(pid) and time.monotonic() < end_s:
            poller.poll(_PATIENCE_S * 1000)
    finally:
        os.close(pidfd)


def _below(known: Collection[int]) -> list[_Process]:
    """The processes that are known, in the session of one that is, or descend from one of these."""
    running = list(_processes())
    found = {each.pid: each for each in running if each.pid in known or each.session in known}
    grows = True
    while grows:
        new = {each.pid: each for each in running if each.parent in found and each.pid not in found}
        grows = bool(new)
        found.update(new)
    return list(found.values())


def _processes() -> Iterator[_Process]:
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", "rb") as stat:
                    fields = stat.read().rpartition(b")")[2].split()
            except OSError:
                continue  # it ended while we looked
            yield _Process(int(name), fields[0].decode(), int(fields[1]), int(fields[3]))
