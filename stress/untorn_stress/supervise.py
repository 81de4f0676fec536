"""Watching, stopping and ending processes that may have started others.

Rule 1: a process is named by its id *and* its start time; the id alone may be a stranger's by now.
Rule 2: a descendant is found by its parent or by a mark in its environment, which it keeps when its
        parent dies or when it makes a session of its own.
Rule 3: signals are only asked for; what counts is the state that /proc shows afterwards.

Limit: a descendant that both lost its parents and cleared its environment is not found.
Sources: proc_pid_stat(5), proc_pid_environ(5), setsid(2).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from typing import Final

import psutil

MARK_VARIABLE: Final = "UNTORN_WORKER"
"""The environment variable that marks a worker and all its descendants."""

SIGNAL_DEADLINE_S: Final = 30.0
"""How long a signal may take to show; only a process stuck in the kernel needs long."""

_POLL_S: Final = 0.001
_EXEC_S: Final = 0.5  # an exec takes a millisecond, and longer where memory is short
_GONE: Final = frozenset("ZX")
_STOPPED: Final = frozenset("Tt")


class SignalIneffectiveError(Exception):
    """A signal was sent and its effect did not show in time: the harness is not in control."""


def thread_states(pid: int) -> frozenset[str]:
    """Return the state letters of a process' threads, empty if there is no such process."""
    states = set()
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return frozenset()
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/stat", "rb") as stat:
                # The name before the state is in parentheses and may hold anything but a newline.
                states.add(stat.read().rpartition(b")")[2].split()[0].decode())
        except (FileNotFoundError, ProcessLookupError):
            continue  # The thread ended between the listing and the read: it has no state.
    return frozenset(states)


def is_gone(pid: int) -> bool:
    """Tell whether nothing of the process runs any more; a zombie counts as gone."""
    return thread_states(pid) <= _GONE


def stop(pid: int) -> None:
    """Send SIGSTOP and return when every thread is stopped (or the process is gone).

    Raises SignalIneffectiveError when it still runs after the deadline.
    """
    os.kill(pid, signal.SIGSTOP)
    _await(lambda: thread_states(pid) <= _STOPPED | _GONE, f"SIGSTOP of process {pid}")


def resume(pid: int) -> None:
    """Send SIGCONT and return when no thread is stopped by a signal any more."""
    os.kill(pid, signal.SIGCONT)
    _await(lambda: "T" not in thread_states(pid), f"SIGCONT of process {pid}")


def descendants(pid: int, mark: str) -> list[psutil.Process]:
    """Find everything that the process started and that still runs, in whatever session it is.

    The process itself is not among them.
    """
    found = {process for process in marked(mark) if process.pid != pid}
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []  # Its children have other parents now: only the mark finds them.
    found.update(child for child in children if not is_gone(child.pid))
    return sorted(found, key=lambda process: process.pid)


def marked(mark: str, variable: str = MARK_VARIABLE) -> list[psutil.Process]:
    """Find the live processes that inherited ``variable=mark`` in their environment."""
    wanted = os.fsencode(f"{variable}={mark}")
    found = []
    for pid in psutil.pids():
        try:
            if wanted not in _environment(pid).split(b"\0"):
                continue
            # Looked at again: between two looks the id may have become another's.
            process = psutil.Process(pid)
            carries_mark = wanted in _environment(pid).split(b"\0")
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            continue  # It ended while we looked.
        except PermissionError:
            continue  # Another user's process: an unprivileged harness cannot have started it.
        if carries_mark and not is_gone(pid) and pid != os.getpid():
            found.append(process)
    return found


def _environment(pid: int) -> bytes:
    """Read a process' environment; raises OSError.

    For a moment of its exec a process has neither environment nor command line: it would be taken
    for nobody's, and outlive us. So we look again, for as long as an exec can take.
    """
    end_s = time.monotonic() + _EXEC_S
    while True:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            text = environ.read()
        if text or time.monotonic() > end_s or not _is_in_exec(pid):
            return text
        time.sleep(_POLL_S)


def _is_in_exec(pid: int) -> bool:
    try:
        os.readlink(f"/proc/{pid}/exe")  # the kernel's own threads and zombies have none
        with open(f"/proc/{pid}/cmdline", "rb") as arguments:
            return not arguments.read()
    except OSError:
        return False


def kill_all(find: Callable[[], Iterable[psutil.Process]]) -> int:
    """Kill what ``find`` finds until it finds nothing, since a victim may just have forked.

    Returns how many were killed; raises SignalIneffectiveError when one survives its SIGKILL.
    """
    killed: set[psutil.Process] = set()
    end_s = time.monotonic() + SIGNAL_DEADLINE_S
    while victims := list(find()):
        if time.monotonic() > end_s:
            raise SignalIneffectiveError(f"new processes appear faster than they die: {victims}")
        killed.update(victims)
        for victim in victims:
            _kill(victim)
        _await(lambda: not still_running(killed), f"SIGKILL of {victims}")
    return len(killed)


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):  # It ended by itself, which is as good.
        process.kill()


def still_running(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Return those of the processes that have not ended."""
    return [each for each in processes if each.is_running() and not is_gone(each.pid)]


def _await(reached: Callable[[], bool], what: str) -> None:
    """Poll until the state is reached. A signal's effect has no event that covers every thread."""
    end_s = time.monotonic() + SIGNAL_DEADLINE_S
    while not reached():
        if time.monotonic() > end_s:
            raise SignalIneffectiveError(f"{what} had no effect in {SIGNAL_DEADLINE_S} s")
        time.sleep(_POLL_S)
