"""Whether a process tree stands still: nothing moves any more until somebody is let go.

Rule 1: every thread is held at the gate, has ended, or is asleep (S; D in vfork), and was switched
        in no further time between two looks. Two looks are a heuristic: a thread that is about to
        be woken by an interrupt looks asleep. Running each schedule twice finds what slips through.
Rule 2: a thread in state D works for its own call (a disk, a journal) and will go on, unless the
        call waits for a child to exec or exit (vfork).
Rule 3: a tree of one thread needs no look when it is held.

Sources: proc_pid_stat(5), proc_pid_schedstat(5), proc_tid_children(5); gate_rules T3.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from typing import TypeAlias

from untorn_stress.gate import abi

_ASLEEP = frozenset(b"STtZXI")
_WAITS_FOR_CHILD = frozenset(
    str(abi.NUMBER[name]).encode() for name in ("vfork", "clone", "clone3") if name in abi.NUMBER
)

Look: TypeAlias = dict[int, tuple[bytes, int]]
"""By thread: its state, and how often it was switched in."""


def threads_of(pid: int) -> list[int]:
    """The threads of a process, none when it is gone."""
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


def tree_of(pid: int, orphans: Iterable[int] = ()) -> list[int]:
    """The processes below and including ``pid``, and those of ``orphans`` that still run."""
    found: list[int] = []
    pending = [pid, *orphans]
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


def look(pids: Iterable[int], held: Collection[int], passing: Mapping[int, int]) -> Look | None:
    """What the threads that are not held look like, or None if one of them runs.

    Those in ``passing`` wait for real time to pass, which it will: they count as running until
    they were switched in more often than it says.
    """
    seen: Look = {}
    for pid in pids:
        for thread in threads_of(pid):
            if thread in held:
                continue
            try:
                with open(f"/proc/{pid}/task/{thread}/stat", "rb") as stat:
                    state = stat.read().rpartition(b")")[2].split()[0]
                switches = switches_of(thread)
            except (OSError, IndexError):
                continue  # it ended while we looked
            seen[thread] = state, switches
            if state[0] not in _ASLEEP and not _waits_for_child(pid, thread, state):
                return None
            if switches <= passing.get(thread, -1) and state != b"Z":
                return None
    return seen


def switches_of(thread: int) -> int:
    """How often a thread was switched in; raises OSError when it is gone."""
    with open(f"/proc/{thread}/schedstat", "rb") as counts:
        return int(counts.read().split()[-1])


def _waits_for_child(pid: int, thread: int, state: bytes) -> bool:
    if state != b"D":
        return False
    try:
        with open(f"/proc/{pid}/task/{thread}/syscall", "rb") as call:
            return call.read().split(b" ", 1)[0] in _WAITS_FOR_CHILD
    except OSError:
        return False


def process_of(thread: int) -> int:
    """The process (thread group) of a thread; raises OSError when it is gone."""
    with open(f"/proc/{thread}/status", "rb") as status:
        for line in status:
            if line.startswith(b"Tgid:"):
                return int(line.split()[1])
    raise ProcessLookupError(thread)
