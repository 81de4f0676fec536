"""Whether a process tree stands still: nothing moves any more until somebody is let go.

Rule 1: every thread is held at the gate, has ended, or is asleep, and was switched in no further
        time between two looks. Whoever wakes another makes it runnable before going on itself, so
        between two such looks there was a point at which nobody ran.
Rule 2: the state alone does not say who is asleep: whoever is about to sleep, or looks whether it
        must (wait4 buries a whole process in that state), is called so while it runs. Reading
        ``syscall`` waits until the thread has left its processor.
Rule 3: a thread in state D works for its own call (a disk, a journal) and will go on, unless the
        call waits for a child to exec or exit (vfork).
Rule 4: a thread in a timed wait that was left to the kernel is not asleep: time will wake it.
Rule 5: a tree of one thread needs no look when it is held.

Sources: proc_pid_stat(5), proc_pid_schedstat(5), proc_pid_syscall(5), proc_tid_children(5);
gate_rules T3.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, MutableMapping
from typing import Final

from untorn_stress.gate import abi

_RUNNING: Final = b"R"
_ENDED: Final = frozenset((b"Z", b"X"))
_ASLEEP: Final = frozenset((b"S", b"D", b"T", b"t"))
_FORKS: Final = frozenset(
    abi.NUMBER[name] for name in ("fork", "vfork", "clone", "clone3") if name in abi.NUMBER
)
_RESTARTED: Final = abi.NUMBER["restart_syscall"]  # a wait that a signal has interrupted

Sight = dict[int, bytes]
"""The threads that are neither held nor gone, with their counts of switches."""


def threads_of(pid: int) -> list[int]:
    """The threads of a process, none when it is gone."""
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


def tree_of(pids: Iterable[int]) -> list[int]:
    """The processes ``pids`` and all below them, as far as they are not gone."""
    found: list[int] = []
    pending = list(pids)
    while pending:
        each = pending.pop()
        if each in found:
            continue
        threads = threads_of(each)
        if not threads:
            continue
        found.append(each)
        for thread in threads:
            try:
                with open(f"/proc/{each}/task/{thread}/children", "rb") as children:
                    pending += [int(child) for child in children.read().split()]
            except OSError:
                continue  # it ended while we looked
    return sorted(found)


def look(
    pids: Iterable[int], held: Collection[int], passing: MutableMapping[int, bytes]
) -> Sight | None:
    """What the threads that are not held look like, or None if one of them moves.

    ``passing`` are the threads in a timed wait, with their call as ``call_line`` writes it; whoever
    is through with it is taken out: the next wait of the same kind may have no timeout.
    """
    seen: Sight = {}
    for pid in pids:
        for thread in threads_of(pid):
            if thread in held:
                continue
            state, switches = _state_of(pid, thread)
            if state == _RUNNING:
                return None
            line = _line_of(pid, thread) if state not in _ENDED else b""
            if state in _ENDED or (not line and _state_of(pid, thread)[0] in _ENDED):
                passing.pop(thread, None)
                continue
            call = line.split(b" ", 1)[0]
            if not call.strip(b"-").isdigit() or state not in _ASLEEP:
                return None
            if state == b"D" and int(call) not in _FORKS:
                return None
            if thread in passing and (line.startswith(passing[thread]) or int(call) == _RESTARTED):
                return None
            passing.pop(thread, None)
            seen[thread] = switches
    return seen


def _state_of(pid: int, thread: int) -> tuple[bytes, bytes]:
    """State and count of switches, none of one that runs; the state of one that is gone is X."""
    try:
        with open(f"/proc/{pid}/task/{thread}/stat", "rb", buffering=0) as stat:
            text = stat.read(512)
        at = text.rfind(b")") + 2
        state = text[at : at + 1]
        if state == _RUNNING:
            return state, b""
        with open(f"/proc/{pid}/task/{thread}/schedstat", "rb", buffering=0) as times:
            switches = times.read(128).rpartition(b" ")[2]
    except OSError:
        return b"X", b""
    return state, switches


def _line_of(pid: int, thread: int) -> bytes:
    """The call that a thread sleeps in, as /proc writes it; ``running`` while it runs."""
    try:
        with open(f"/proc/{pid}/task/{thread}/syscall", "rb", buffering=0) as syscall:
            return syscall.read(256)
    except OSError:
        return b""


def call_line(number: int, arguments: Iterable[int]) -> bytes:
    """A call as /proc writes it: its number and its six arguments."""
    return b" ".join([b"%d" % number, *(b"0x%x" % each for each in arguments)])


def process_of(thread: int) -> int:
    """The process (thread group) of a thread; raises OSError when it is gone."""
    with open(f"/proc/{thread}/status", "rb") as status:
        for line in status:
            if line.startswith(b"Tgid:"):
                return int(line.split()[1])
    raise ProcessLookupError(thread)


def born_at(pid: int, thread: int) -> int:
    """When a thread was made, in clock ticks since boot; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/task/{thread}/stat", "rb") as stat:
            return int(stat.read().rpartition(b")")[2].split()[19])
    except OSError:
        return 0
