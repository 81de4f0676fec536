"""A gated worker: its process tree, the conversation with it, and what it is held at.

Rule 1: the letter names the worker and its first thread; further threads and children are ``At1``,
        ``At2`` ... in the order in which they were born. Births are steps, so that no two fall
        between two standstills.
Rule 2: a worker is *plain* while it has one thread: it then stands still when it is held, has
        ended, or has answered and was seen asleep. Once it has forked it is not plain any more.
Rule 3: what it has open below the root, and what it has locked, is known: each open is made by us.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from untorn_stress.gate import ending, locks, quiescence
from untorn_stress.gate.calls import Call
from untorn_stress.gate.listener import Listener, Notification
from untorn_stress.gate.quiescence import Sight
from untorn_stress.gate.target import Target, TargetGoneError
from untorn_stress.gate.world import Place, World
from untorn_stress.schedulers.protocol import NOTHING, Footprint, Option

_READ_BYTES = 65536

Basis = tuple[AbstractSet[str], AbstractSet[str], bool]
"""The files whose data a worker may read, and write, unseen; and whether it is plain."""


@dataclass(slots=True, eq=False)
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
    basis: Basis | None = None
    """What was known of its worker when ``expected`` was worked out; None before."""
    option: Option | None = None
    """The option that stands for it, as long as ``expected`` is what it was made with."""
    yielded: bool = False
    waits_for_lock: bool = False
    moves_of_others: int = 0
    is_answered: bool = False
    is_inner: bool = False
    """No step: it is dealt with as soon as all stands still."""

    def rank(self) -> tuple[str, int, str]:
        """The order of actors: A, At1, At2, At10, B."""
        return self.actor[:1], len(self.actor), self.actor


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
        self.renews = False
        self.is_plain = True
        self.has_family = False
        self.is_dead = False
        self.was_killed = False
        self.has_hung_up = False
        self.is_gone = False
        self.asleep: Sight | None = None
        self.awaits_answer = False
        self.has_rested = True
        self.held: dict[int, Held] = {}
        self.files: Mapping[tuple[int, int], tuple[str, bool]] = {}
        self._kept: set[tuple[str, bool]] = set()
        self._data: tuple[AbstractSet[str], AbstractSet[str]] | None = None
        self.locked: set[str] = set()
        self.passing: dict[int, bytes] = {}
        self.glances: set[str] = set()
        """The objects that decided that a call of its was no step of its own."""
        self.unobserved: list[str] = []
        self._targets: dict[int, Target] = {}
        self._family = {pid}
        self._process_of = {pid: pid}
        self._actors: dict[int, str] = {pid: letter}
        self.births = 0
        self._born = 0
        self._seen: AbstractSet[int] | None = None
        self._lines = b""
        self.draw_from(chance)

    def draw_from(self, chance: str) -> None:
        """Begin its randomness anew; two workers never draw alike."""
        self._chance = hashlib.blake2b(f"{chance}:{self.letter}".encode()).digest()
        self._drawn: dict[str, int] = {}

    def let_pass(self) -> None:
        """Between two runs: no call is held, and what one run knew of it is forgotten."""
        self.is_gated = False
        self.asleep = None
        self._count_family()
        self.held.clear()
        self.passing.clear()
        self.files = {}
        self._kept.clear()
        self._data = None
        self.locked.clear()
        self.unobserved.clear()

    def _count_family(self) -> None:
        """Begin the numbers of threads anew; it is plain again if nobody but itself is left."""
        family = quiescence.tree_of({self.pid})
        self.has_family = family != [self.pid]
        self.is_plain = not self.has_family and len(quiescence.threads_of(self.pid)) == 1
        self._family = {self.pid, *family}
        self._actors = {self.pid: self.letter}
        self._process_of = {self.pid: self.pid}
        self.births = self._born = 0
        self._seen = None

    # --- conversation ----------------------------------------------------------------------------

    def let_time_pass(self, held: Held) -> None:
        """Let the kernel perform a timed wait; until it is over its thread is not asleep."""
        notification = held.notification
        line = quiescence.call_line(notification.number, notification.arguments)
        self.passing[notification.tid] = line
        self.listener.let_go(notification.id)

    def send(self, line: bytes) -> None:
        """Ask something; the line is short, so the pipe takes it whole."""
        self.awaits_answer = True
        self.has_rested = False
        self.asleep = None
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

    def bury_all(self) -> None:
        """It was killed: nothing of it is held, and nobody waits for it any more."""
        self.held.clear()
        self.passing.clear()
        self.was_killed = self.is_dead = self.is_gone = self.has_hung_up = True

    # --- threads ---------------------------------------------------------------------------------

    def target_of(self, tid: int) -> Target:
        """The process of a thread; TargetGoneError when it has ended."""
        try:
            process = self._process_of.get(tid) or quiescence.process_of(tid)
        except OSError as error:
            raise TargetGoneError(f"thread {tid} is gone") from error
        self._family.add(process)
        target = self._targets.get(process)
        if target is None:
            target = self._targets[process] = Target(process)
        return target

    def actor_of(self, tid: int) -> str:
        """The label of a thread, empty for one that ``name_threads`` has not seen yet."""
        return self._actors.get(tid, "")

    def name_threads(self) -> None:
        """Name the threads that appeared, the older first. Only when the tree stands still."""
        if self._seen is not None and self._actors.keys() == self._seen | self.held.keys():
            return
        process = {tid: pid for pid in self.processes() for tid in quiescence.threads_of(pid)}
        self._process_of = {self.pid: self.pid, **process}
        for tid in [tid for tid in self._actors if tid not in process]:
            del self._actors[tid]  # it is gone, and another may get its number
        new = [tid for tid in process if tid not in self._actors]
        new.sort(key=lambda tid: (quiescence.born_at(process[tid], tid), tid))
        self._born = max(self._born, self.births - len(new))  # some did not live to be seen
        for tid in new:
            self._born += 1
            self._actors[tid] = f"{self.letter}t{self._born}"
        for pid in [pid for pid in self._targets if pid not in process]:
            self._targets.pop(pid).close()
        for tid, held in self.held.items():
            held.actor = self._actors.get(tid, held.actor)

    def bury(self, held: Held) -> None:
        """The caller ends its process: what else of it is held will never be let go."""
        for tid in [tid for tid, other in self.held.items() if other.target is held.target]:
            del self.held[tid]

    def forget_dead(self) -> bool:
        """Drop the calls of threads that were killed where they were held; whether there were."""
        dead = [
            tid
            for tid, held in self.held.items()
            if not self.listener.is_held(held.notification.id)
        ]
        for tid in dead:
            del self.held[tid]
        return bool(dead)

    def processes(self) -> list[int]:
        """The processes of the tree that still run, orphans too."""
        if not self.has_family:
            return [self.pid]
        found = quiescence.tree_of(self._family)
        self._family = {self.pid, *found}
        return found

    def look(self) -> Sight | None:
        """What its threads look like that are not held; None if one of them moves."""
        seen = quiescence.look(self.processes(), self.held, self.passing)
        self._seen = None if seen is None else seen.keys()
        return seen

    @property
    def has_children(self) -> bool:
        """Whether further processes run below it, and it does."""
        return self.has_family and not self.is_dead and len(self.processes()) > 1

    @property
    def is_over(self) -> bool:
        """Whether nothing of its tree runs any more.

        The gate's hang-up does not say so: it comes before the files of a process are closed and
        its locks let go.
        """
        return not self.held and self.look() == {}

    @property
    def is_settled(self) -> bool:
        """Whether a plain worker stands still; others need a look."""
        if not self.is_plain:
            return self.is_gone
        if self.is_dead or self.held:
            return True
        return self.asleep is not None if self.awaits_answer else self.has_rested

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
            self.opens(target.pid, fd, name, writes=(flags & os.O_ACCMODE) != os.O_RDONLY)
        if b"\nlock:" in text:
            self.locked.add(name)

    def has_written(self, held: Held) -> bool:
        """Whether the descriptor that a call of one names was opened to be written, by our hand."""
        _, writes = self.files.get((held.target.pid, held.call.fds[0]), ("", False))
        return writes

    def opens(self, pid: int, fd: int, name: str, *, writes: bool) -> None:
        """One of its processes has opened a regular file."""
        self.files = {**self.files, (pid, fd): (name, writes)}
        self._data = None

    def closes(self, pid: int, fds: Collection[int] | None = None) -> None:
        """One of its processes closes these descriptors; all, where none are named."""
        left = {
            key: known
            for key, known in self.files.items()
            if key[0] != pid or (fds is not None and key[1] not in fds)
        }
        if len(left) < len(self.files):
            self.files = left
            self._data = None

    def keep_file(self, pid: int, fd: int) -> None:
        """An open file gets a second descriptor: from now on its data counts as in use for ever."""
        known = self.files.get((pid, fd))
        if known is not None:
            self._kept.add(known)
            self._data = None

    def keep_files(self, pid: int) -> None:
        """A child gets what the process has open: from now on it counts as in use for ever."""
        self._kept.update(known for (owner, _), known in self.files.items() if owner == pid)
        self._data = None

    def data(self) -> tuple[AbstractSet[str], AbstractSet[str]]:
        """The files whose data may be read, and written, by what the worker does unseen."""
        if self._data is None:
            known = {*self.files.values(), *self._kept}
            self._data = (
                frozenset(name for name, writes in known if not writes),
                frozenset(name for name, writes in known if writes),
            )
        return self._data

    def basis(self) -> Basis:
        """What ``expected`` rests on besides the call."""
        return (*self.data(), self.is_plain)

    def chance(self, actor: str, count: int) -> bytes:
        """The next bytes of what one of its threads takes for randomness."""
        drawn = self._drawn[actor] = self._drawn.get(actor, 0) + 1
        block = hashlib.blake2b(f"{actor}:{drawn}".encode(), key=self._chance).digest()
        return (block * (count // len(block) + 1))[:count]

    # --- the end ---------------------------------------------------------------------------------

    def kill(self) -> None:
        """SIGKILL the whole tree and wait until nothing of it runs. Raises StillRunningError."""
        ending.end_all_below(self.listener, {self.pid, *self.processes()})

    def orphan(self) -> None:
        """SIGKILL its first process and wait for its end. Raises StillRunningError.

        Who its children are is known before: they get another parent.
        """
        self.processes()
        ending.end_process(self.pidfd, self.pid)
        self.was_killed = self.is_dead = True
        for tid in [tid for tid, held in self.held.items() if held.target.pid == self.pid]:
            del self.held[tid]

    def close(self) -> None:
        """End it and close every descriptor."""
        try:
            self.kill()
        finally:
            self.listener.close()
            for fd in (self.pidfd, self.stdin, self.stdout):
                os.close(fd)
            for target in self._targets.values():
                target.close()
            self._targets.clear()
