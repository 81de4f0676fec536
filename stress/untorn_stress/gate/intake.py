"""What is done with a call when it arrives at the gate: let go at once, answered, or held.

Rule 1: a call that touches nothing below the root, no lock and no process is let go.
Rule 2: what changes what we know of a process (a fork, an exec, its user) is noted first.
Rule 3: a pointer that leads nowhere is the kernel's to answer.
Rule 4: what decides that a call is no step of its own (a close of a file that still has a name) was
        looked at by the step within which it comes: ``glances``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct

from untorn_stress.gate import abi, footprints, locks, strays, waits
from untorn_stress.gate.calls import FORMS, Call, CallKind, read_call
from untorn_stress.gate.listener import Notification
from untorn_stress.gate.target import Target, TargetGoneError
from untorn_stress.gate.worker import GatedWorker, Held
from untorn_stress.gate.world import World

_PATHS = frozenset(
    {
        CallKind.OPEN,
        CallKind.STAT,
        CallKind.CREATE,
        CallKind.LINK,
        CallKind.RENAME,
        CallKind.UNLINK,
        CallKind.ATTRIBUTE,
    }
)
_OUR_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_MOST_RANDOM_BYTES = 1 << 16
_ACTION = struct.Struct("=QQ")  # struct sigaction of the kernel: handler, flags, ...
_SIG_IGN = 1
_SA_RESTART = 0x10000000
_CLONE_THREAD = 0x10000
_DESCRIPTORS = frozenset(
    {CallKind.LIST, CallKind.SYNC, CallKind.READ, CallKind.WRITE, CallKind.FLOCK}
)
_NAMING = _PATHS | _DESCRIPTORS
_LOCKS = frozenset({CallKind.FLOCK, CallKind.FCNTL})
_PLAIN = _NAMING - _LOCKS | {CallKind.CLOSE, CallKind.DUP, CallKind.MAP, CallKind.WAIT}
_ENDINGS = frozenset({CallKind.CLOSE, CallKind.DUP, CallKind.EXEC, CallKind.EXIT})
_OF_PROCESSES = frozenset(
    {CallKind.HANDLER, CallKind.FORK, CallKind.EXIT, CallKind.EXEC, CallKind.IDENTITY}
)
"""What is noted before it is let go, and whether or not there is a run."""


_OF_NO_INTEREST = frozenset(
    abi.NUMBER[name]
    for name, form in FORMS.items()
    if name in abi.NUMBER and form.kind in _PLAIN | _LOCKS
)
"""Calls that nobody need read between two runs, where no lock is lied about."""
_OF_NO_INTEREST_BUT_LOCKS = frozenset(
    number for number in _OF_NO_INTEREST if FORMS[abi.NAME[number]].kind in _PLAIN
)


class Intake:
    """Receives the calls of all workers of a run."""

    def __init__(
        self,
        world: World,
        *,
        lie: str,
        sees_inodes: bool,
        own_folders: str,
        holds_closes: bool,
        moves: dict[str, int],
    ) -> None:
        self._world = world
        self._lie = lie
        self._sees_inodes = sees_inodes
        self._own_folders = own_folders
        self._holds_closes = holds_closes
        self._moves = moves
        self._passed = _OF_NO_INTEREST if lie == "real" else _OF_NO_INTEREST_BUT_LOCKS

    def receive(self, worker: GatedWorker) -> None:
        """Take one notification and do what its call asks for."""
        notification = worker.listener.receive()
        if notification is None:
            return
        if worker.passing:
            worker.passing.pop(notification.tid, None)
        if not worker.is_gated and notification.number in self._passed:
            worker.listener.let_go(notification.id)
            return
        try:
            target = worker.target_of(notification.tid)
            call = read_call(notification, target)
            held = self._admit(worker, target, notification, call)
        except TargetGoneError:
            held = None
        except OSError as error:
            if error.errno in _OUR_SHORTAGES:
                raise  # the call must not pass the gate because we lack descriptors
            held = None
        if held is None:
            worker.listener.let_go(notification.id)
        elif not held.is_answered:
            worker.held[notification.tid] = held

    def _admit(
        self, worker: GatedWorker, target: Target, notification: Notification, call: Call
    ) -> Held | None:
        """Return what to hold, or None to let the call go."""
        kind = call.kind
        held = Held(worker.actor_of(notification.tid), worker, target, notification, call)
        if kind is CallKind.RANDOM:
            held.is_inner = worker.is_gated and not held.actor
            if not held.is_inner:
                self.answer_chance(held)
            return held
        if kind in _OF_PROCESSES:
            self._note_process(held)
        if not worker.is_gated:
            return self._lie_about_lock(held)
        if kind is CallKind.WAIT:
            return self._admit_wait(held)
        return held if self._concerns_us(held) else None

    @staticmethod
    def _note_process(held: Held) -> None:
        """Note what is about to become of a process."""
        call, worker, target = held.call, held.worker, held.target
        if call.kind is CallKind.HANDLER:
            _make_restart(call, target)
        elif call.kind is CallKind.FORK:
            worker.is_plain = False
            worker.has_family = worker.has_family or not makes_thread(call, target)
        elif call.kind is CallKind.EXIT:
            if worker.has_family:
                worker.processes()  # its children get another parent: who they are is known by now
        else:
            target.forget()
            if call.kind is CallKind.EXEC:
                target.forget_memory()

    @staticmethod
    def answer_chance(held: Held) -> None:
        """Give a thread its next random bytes; raises OSError where it has no room for them."""
        address, count = held.call.arguments[:2]
        data = held.worker.chance(held.actor or held.worker.letter, min(count, _MOST_RANDOM_BYTES))
        held.target.write(address, data)
        held.worker.listener.answer(held.notification.id, len(data))
        held.is_answered = True

    def _lie_about_lock(self, held: Held) -> Held | None:
        """Before the gate is closed locks are lied about already, where they are at all."""
        if self._lie == "real" or held.call.kind not in (CallKind.FLOCK, CallKind.FCNTL):
            return None
        if not self._world.holds(held.target.link(held.call.fds[0])):
            return None
        if not locks.is_ours(held.call):
            self._world.lies_told += 1  # the kernel's, yet asked for
            return None
        tried = locks.attempt(held.call, held.target, self._lie)
        self._world.lies_told += 1
        held.worker.listener.answer(held.notification.id, 0, tried.error)
        held.is_answered = True
        return held

    def _admit_wait(self, held: Held) -> Held | None:
        wait_s = waits.length_s(held.call, held.target)
        if wait_s <= 0:
            return None
        if waits.is_moment(held.call, wait_s):
            held.is_inner = True
            return held
        held.yielded = True
        held.moves_of_others = self._moves_of_others(held)
        return held

    def _moves_of_others(self, held: Held) -> int:
        return sum(count for actor, count in self._moves.items() if actor != held.actor)

    def has_others_moved(self, held: Held) -> bool:
        """Whether another actor has moved since this one yielded."""
        return self._moves_of_others(held) > held.moves_of_others

    def _concerns_us(self, held: Held) -> bool:
        call, kind = held.call, held.call.kind
        if kind in _NAMING:
            return self._is_inside(held)
        match kind:
            case CallKind.CLOSE:
                return self._admit_close(held)
            case CallKind.FCNTL:
                if locks.command_of(call) in locks.LOCK_COMMANDS:
                    return self._is_inside(held)
                held.worker.keep_file(held.target.pid, call.fds[0])
                return False
            case CallKind.DUP:
                held.worker.keep_file(held.target.pid, call.fds[0])
                return len(call.fds) > 1 and self._releases(held, call.fds[1])
            case CallKind.EXEC | CallKind.EXIT:
                return self._admit_end(held)
            case CallKind.MAP:
                self._note_mapping(held)
                return False
            case _:
                return kind is CallKind.FORK

    def _is_inside(self, held: Held) -> bool:
        """Whether it is about what is below the root; what happens elsewhere may be noted."""
        is_inside = self.look(held)
        if not is_inside and self._own_folders:
            strays.note(held, f"{self._own_folders}{held.worker.letter}/")
        return is_inside

    def look(self, held: Held) -> bool:
        """Resolve what the call names; whether any of it is below the root."""
        call, target, world = held.call, held.target, self._world
        held.basis = None
        is_inside = False
        held.places = []
        for path in call.paths:
            place = world.find(path, target)
            held.places.append(place)
            is_inside = is_inside or place.is_inside
        held.named = []
        for fd in call.fds:
            try:
                door = target.door(fd)
                name = world.name_of(os.stat(door), door)
            except OSError:
                name = ""
            held.named.append(name)
            is_inside = is_inside or bool(name)
        if is_inside:
            self.expect(held)
        return is_inside

    def expect(self, held: Held) -> None:
        """Work out what the pending call would touch."""
        touched, kind = footprints.Touched(inodes=self._sees_inodes), held.call.kind
        if kind in _LOCKS:
            self._expect_lock(held, touched)
        elif kind in _ENDINGS:
            touched.let_go(held.named, nameless=self.is_nameless(held))
        else:
            footprints.touch(touched, held.call, held.places, held.named, failed=False)
        held.basis = held.worker.basis()
        touch_unseen(touched, held.worker)
        held.expected = touched.footprint()

    @staticmethod
    def _expect_lock(held: Held, touched: footprints.Touched) -> None:
        """A lock that the kernel takes counts as changed, however it ends."""
        name, call = held.named[0], held.call
        operation = locks.operation_of(call, held.target) if locks.is_ours(call) else 0
        gives_up = name in held.worker.locked and locks.gives_up(call, held.target)
        footprints.touch_lock(touched, name, operation, gives_up=gives_up)

    # --- descriptors -----------------------------------------------------------------------------

    def _admit_close(self, held: Held) -> bool:
        worker, pid = held.worker, held.target.pid
        if held.call.name == "close_range":
            fds = [fd for fd in locks.open_descriptors(pid) if self._is_in_range(held.call, fd)]
        else:
            fds = held.call.fds
        locking = [fd for fd in fds if self._releases(held, fd)]  # each of them is noted
        if locking:
            return True
        if self._holds_closes and held.call.name == "close" and self._ends_writing(held):
            return True
        worker.closes(pid, fds)
        return False

    def _ends_writing(self, held: Held) -> bool:
        if not held.worker.has_written(held):
            return False
        name, _ = held.worker.files[held.target.pid, held.call.fds[0]]
        held.named.append(name)
        self.expect(held)
        return True

    @staticmethod
    def _is_in_range(call: Call, fd: int) -> bool:
        first, last, flags = (each & 0xFFFFFFFF for each in call.arguments[:3])
        return first <= fd <= last and not flags & 4  # CLOSE_RANGE_CLOEXEC

    def _releases(self, held: Held, fd: int) -> bool:
        """Whether closing the descriptor may release a lock of this tree, or free its inode."""
        if not held.worker.locked and not self._sees_inodes:
            return False
        try:
            door = held.target.door(fd)
            status = os.stat(door)
        except OSError:
            return False
        name = self._world.name_of(status, door)
        frees = self._sees_inodes and name and not status.st_nlink
        if name not in held.worker.locked and not frees:
            if self._sees_inodes and name:  # had the name gone before, this were a step
                held.worker.glances.update((f"i:{name}", f"h:{name}"))
            return False
        held.named.append(name)
        self.expect(held)
        return True

    @staticmethod
    def is_nameless(held: Held) -> bool:
        """Whether what it closes has no name any more; of an end it is not known what it closes."""
        if held.call.kind in (CallKind.EXEC, CallKind.EXIT) or held.call.name == "close_range":
            return True
        with contextlib.suppress(OSError):
            return any(not held.target.status_of(fd).st_nlink for fd in held.call.fds)
        return True

    def _admit_end(self, held: Held) -> bool:
        """An exec or an exit is a step when it may release locks."""
        if held.call.name == "exit":
            return False
        if not held.worker.locked:
            if held.call.kind is CallKind.EXIT:
                held.worker.bury(held)
            return False
        held.named = sorted(held.worker.locked)
        self.expect(held)
        return True

    def _note_mapping(self, held: Held) -> None:
        with contextlib.suppress(OSError):
            status = held.target.status_of(held.call.fds[0])
            name = self._world.name_of(status)
            if name and stat.S_ISREG(status.st_mode):
                held.worker.unobserved.append(f"{held.actor} stores to a mapping of {name}")


def touch_unseen(touched: footprints.Touched, worker: GatedWorker) -> None:
    """Add what any step of a worker touches besides its call."""
    read, written = worker.data()
    if read or written:
        footprints.touch_open_files(touched, read, written)
    if not worker.is_plain:
        footprints.touch_memory(touched, worker.letter, shared=True)


def _make_restart(call: Call, target: Target) -> None:
    """Let a handler restart the call that it interrupts: one that waits for us must not fail."""
    address = call.arguments[1]
    handler, flags = _ACTION.unpack(target.read(address, _ACTION.size))
    if handler > _SIG_IGN:
        target.write(address, _ACTION.pack(handler, flags | _SA_RESTART))


def makes_thread(call: Call, target: Target) -> bool:
    """Whether what the call makes shares everything with its maker."""
    flags = call.arguments[0]
    if call.name == "clone3":
        flags = int.from_bytes(target.read(flags, 8), "little")
    return call.name in ("clone", "clone3") and bool(flags & _CLONE_THREAD)
