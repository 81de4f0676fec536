"""A gated worker: its process tree, the conversation with it, and what it is held at.

Rule 1: the letter names the worker and its first thread; further threads and children are ``At1``,
        ``At2`` ... in the order in which they were born.
Rule 2: a worker is *plain* while it has one thread: it then stands still when it is held, has
        answered or has ended. Once it has forked it is not plain any more.
Rule 3: what it has open below the root, and what it has locked, is known: each open is made by us.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import signal
from dataclasses import dataclass, field

from untorn_stress.gate import ending, locks, quiescence
from untorn_stress.gate.calls import Call
from untorn_stress.gate.listener import Listener, Notification
from untorn_stress.gate.target import Target, TargetGoneError
from untorn_stress.gate.world import Place, World
from untorn_stress.schedulers.protocol import NOTHING, Footprint

_READ_BYTES = 65536


@dataclass(slots=True)
class Held:
    """A thread at the gate, and what its pending call would touch."""

    actor: str
    worker: GatedWorker
    target: Target
    notification: Notification
    call: Call
    places: list[Place] = field(default_factory=list)
    named: list[str] = field(default_factory=list)
    expected: Footprint = NOTHING
    yielded: bool = False
    waits_for_lock: bool = False
    moves_of_others: int = 0
    is_answered: bool = False


class GatedWorker:
    """One worker. Made by the supervisor from what the keeper reported."""

    def __init__(
        self, letter: str, pid: int, listener: int, streams: tuple[int, int], chance: str
    ) -> None:
        self.letter = letter
        self.pid = pid
        self.listener = Listener(listener)
        self.pidfd = os.pidfd_open(pid)
        self.stdin, self.stdout = streams
        os.set_blocking(self.stdout, False)
        self.is_gated = False
        self.is_plain = True
        self.is_dead = False
        self.has_hung_up = False
        self.is_asleep = False
        self.awaits_answer = False
        self.held: dict[int, Held] = {}
        self.files: dict[tuple[int, int], tuple[str, bool]] = {}
        self.kept: set[tuple[str, bool]] = set()
        self.locked: set[str] = set()
        self.passing: dict[int, int] = {}
        self.unobserved: list[str] = []
        self._targets: dict[int, Target] = {}
        self._actors: dict[int, str] = {pid: letter}
        self._lines = b""
        self.draw_from(chance)

    def draw_from(self, chance: str) -> None:
        """Begin its randomness anew; two workers never draw alike."""
        self._chance = hashlib.blake2b(f"{chance}:{self.letter}".encode()).digest()
        self._drawn = 0

    def let_pass(self) -> None:
        """Between two runs: no call is held, and what one run knew of it is forgotten."""
        self.is_gated = False
        self.held.clear()
        self.passing.clear()
        self.files.clear()
        self.kept.clear()
        self.locked.clear()
        self.unobserved.clear()

    # --- conversation ----------------------------------------------------------------------------

    def send(self, line: bytes) -> None:
        """Ask something; the line is short, so the pipe takes it whole."""
        self.awaits_answer = True
        self.is_asleep = False
        with contextlib.suppress(BrokenPipeError):  # it died: its death tells
            os.write(self.stdin, line)

    def take_line(self) -> bytes | None:
        """The next whole line of its stdout, or None if there is none yet."""
        with contextlib.suppress(BlockingIOError):
            self._lines += os.read(self.stdout, _READ_BYTES)
        line, end, rest = self._lines.partition(b"\n")
        if not end:
            return None
        self._lines = rest
        self.awaits_answer = False
        return line

    # --- threads ---------------------------------------------------------------------------------

    def target_of(self, tid: int) -> Target:
        """The process of a thread; TargetGoneError when it has ended."""
        known = self._targets.get(tid)
        if known is not None:
            return known
        try:
            process = tid if tid == self.pid else quiescence.process_of(tid)
        except OSError as error:
            raise TargetGoneError(f"thread {tid} is gone") from error
        target = self._targets.get(process)
        if target is None:
            target = self._targets[process] = Target(process)
        self._targets[tid] = target
        return target

    def actor_of(self, tid: int) -> str:
        """The label of a thread; new threads are numbered by ``name_threads``."""
        return self._actors.get(tid, f"{self.letter}t?")

    def name_threads(self) -> None:
        """Name the threads that appeared, the older first. Only when the tree stands still."""
        for tid in sorted(self.held):
            if tid not in self._actors:
                self._actors[tid] = f"{self.letter}t{len(self._actors)}"
            self.held[tid].actor = self._actors[tid]

    def processes(self) -> list[int]:
        """The processes of the tree that still run."""
        orphans = {target.pid for target in self._targets.values()}
        return quiescence.tree_of(self.pid, orphans)

    @property
    def is_settled(self) -> bool:
        """Whether a plain worker stands still; others need a look."""
        if self.has_hung_up:
            return True
        if not self.is_plain:
            return False
        return self.is_dead or bool(self.held) or not self.awaits_answer or self.is_asleep

    # --- files and locks -------------------------------------------------------------------------

    def begin(self, world: World) -> None:
        """Hold it from here on; look at what it has opened and locked below the root before."""
        self.is_gated = True
        for pid in self.processes():
            target = self.target_of(pid)
            for fd in locks.open_descriptors(pid):
                with contextlib.suppress(OSError):  # closed meanwhile
                    status = target.status_of(fd)
                    if name := world.name_of(status):
                        self._note_open(target, fd, name)

    def _note_open(self, target: Target, fd: int, name: str) -> None:
        with open(f"/proc/{target.pid}/fdinfo/{fd}", "rb") as info:
            text = info.read()
        flags = int(text.split(b"flags:", 1)[1].split()[0], 8)
        if not flags & os.O_DIRECTORY:
            self.files[target.pid, fd] = (name, (flags & os.O_ACCMODE) != os.O_RDONLY)
        if b"\nlock:" in text:
            self.locked.add(name)

    def data(self) -> tuple[set[str], set[str]]:
        """The files whose data may be read, and written, by what the worker does unseen."""
        read: set[str] = set()
        written: set[str] = set()
        for name, writes in (*self.files.values(), *self.kept):
            (written if writes else read).add(name)
        return read, written

    def chance(self, count: int) -> bytes:
        """The next bytes of what the worker takes for randomness."""
        self._drawn += 1
        block = hashlib.blake2b(self._drawn.to_bytes(8, "big"), key=self._chance).digest()
        return (block * (count // len(block) + 1))[:count]

    # --- the end ---------------------------------------------------------------------------------

    def kill(self) -> None:
        """SIGKILL the whole tree and wait until nothing of it runs. Raises StillRunningError."""
        ending.end_all_below(self.listener, {self.pid, *self.processes()})

    def close(self) -> None:
        """End it and close every descriptor."""
        self.kill()
        self.listener.close()
        for fd in (self.pidfd, self.stdin, self.stdout):
            os.close(fd)
        for target in set(self._targets.values()):
            target.close()
        self._targets.clear()
