"""Letting one held call go: perform it or leave it to the kernel, and say what it did.

Rule 1: exactly one call is let go at a time, and it was chosen.
Rule 2: what changes names, attributes or locks is performed by us where we can, and its result
        known.
Rule 3: a call that only looks is left to the kernel; its result is the target's alone ("?"). But a
        statx that asks for little is performed, lest it be told more.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass

from untorn_stress.gate import footprints, locks, statx, waits
from untorn_stress.gate.calls import O_TMPFILE, CallKind
from untorn_stress.gate.intake import Intake, makes_thread
from untorn_stress.gate.perform import perform, perform_statx
from untorn_stress.gate.target import AT_FDCWD
from untorn_stress.gate.worker import GatedWorker, Held
from untorn_stress.gate.world import World
from untorn_stress.schedulers.protocol import Footprint

_PERFORMED = frozenset(
    {
        CallKind.CREATE,
        CallKind.LINK,
        CallKind.RENAME,
        CallKind.UNLINK,
        CallKind.ATTRIBUTE,
        CallKind.SYNC,
        CallKind.OPEN,
    }
)
_EXCHANGE = 2
"""RENAME_EXCHANGE of renameat2(2): both names stay."""

UNSEEN = "?"
WAITS = "waits"
_WAITS_BARE = "waits, having dropped its own lock"


@dataclass(frozen=True, slots=True)
class Done:
    """What a step was: its result in words, and what it touched.

    ``changes_lock``: a lock that it touched may be free for others now; not so after a refusal.
    """

    result: str
    footprint: Footprint
    changes_lock: bool = True


class Execution:
    """Performs held calls."""

    def __init__(self, world: World, intake: Intake, *, lie: str, sees_inodes: bool) -> None:
        self._world = world
        self._intake = intake
        self._lie = lie
        self._sees_inodes = sees_inodes

    def let_go(self, held: Held) -> Done:
        """Take the step; it ``waits`` when it is a lock that the target must go on waiting for."""
        kind, touched = held.call.kind, self._unseen(held)
        if kind in (CallKind.FLOCK, CallKind.FCNTL) and locks.is_ours(held.call):
            result = self._lock(held, touched)
        elif kind is CallKind.WAIT:
            result = self._pass_time(held)
        elif kind in _PERFORMED and self._can_perform(held):
            result = self._perform(held, touched)
        elif held.call.asks_little and self._can_perform(held):
            result = self._tell(held, touched)
        else:
            result = self._leave(held, touched)
        if result in (WAITS, _WAITS_BARE):
            held.waits_for_lock = True
            return Done(WAITS, touched.footprint(), changes_lock=result is _WAITS_BARE)
        return self._over(held, result, touched)

    def refuse(self, held: Held, name: str) -> Done:
        """Answer with the errno of that name; the call does not happen.

        Of a close the kernel says an errno and has closed all the same: the descriptor's number
        stays taken by /dev/null, since we cannot free it.
        """
        call, touched, listener = held.call, self._unseen(held), held.worker.listener
        if call.kind is CallKind.CLOSE:
            touched.let_go(held.named, nameless=Intake.is_nameless(held))
            self._forget_files(held)
            with open(os.devnull, "rb") as null:
                listener.replace_descriptor(held.notification.id, null.fileno(), call.fds[0])
        elif call.kind in (CallKind.FLOCK, CallKind.FCNTL):
            touched.reads.add(f"l:{held.named[0]}")
        else:
            footprints.touch(touched, call, held.places, held.named, failed=True)
        listener.answer(held.notification.id, 0, getattr(errno, name))
        return self._over(held, name, touched)

    def shorten(self, held: Held) -> Done:
        """Write half of what a write asks for, and answer so."""
        touched = self._unseen(held)
        written = self._write_half(held, touched)
        held.worker.listener.answer(held.notification.id, written)
        return self._over(held, str(written), touched)

    def shorten_unanswered(self, held: Held) -> Footprint:
        """Write half of what a write asks for; its thread learns nothing of it."""
        touched = self._unseen(held)
        self._write_half(held, touched)
        return touched.footprint()

    @staticmethod
    def _write_half(held: Held, touched: footprints.Touched) -> int:
        call = held.call
        footprints.touch(touched, call, held.places, held.named, failed=False)
        half = held.target.read(call.arguments[1], call.arguments[2] // 2)
        with held.target.descriptor(call.fds[0]) as fd:
            return os.write(fd, half)

    def _unseen(self, held: Held) -> footprints.Touched:
        """What a step of its thread touches besides the call."""
        touched = footprints.Touched(inodes=self._sees_inodes)
        footprints.touch_open_files(touched, *held.worker.data())
        footprints.touch_memory(touched, held.worker.letter, shared=not held.worker.is_plain)
        return touched

    @staticmethod
    def _over(held: Held, result: str, touched: footprints.Touched) -> Done:
        held.worker.held.pop(held.notification.tid, None)  # who ends is buried already
        held.worker.asleep = None
        held.worker.has_rested = False
        return Done(result, touched.footprint())

    def death_of(self, worker: GatedWorker) -> Footprint:
        """What SIGKILL would touch: its locks are let go, and files without a name are freed."""
        touched = footprints.Touched(inodes=self._sees_inodes)
        touched.let_go(worker.locked, nameless=True)
        footprints.touch_memory(touched, worker.letter, shared=not worker.is_plain)
        return touched.footprint()

    # --- performed by us -------------------------------------------------------------------------

    def _can_perform(self, held: Held) -> bool:
        call = held.call
        if not call.form.twin or not held.target.is_like_us:
            return False
        if call.kind is not CallKind.OPEN or not held.places:
            return True
        place = held.places[0]
        # What may block or has effects of its own when it is opened is the kernel's.
        return not place.here or stat.S_ISREG(place.mode) or stat.S_ISDIR(place.mode)

    def _perform(self, held: Held, touched: footprints.Touched) -> str:
        listener, ident, call = held.worker.listener, held.notification.id, held.call
        try:
            if call.kind is CallKind.OPEN and held.target.is_full:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            value = perform(call, held.target)
        except OSError as error:
            number = error.errno or errno.EIO
            footprints.touch(touched, call, held.places, held.named, failed=True)
            listener.answer(ident, 0, number)
            return errno.errorcode.get(number, str(number))
        footprints.touch(touched, call, held.places, held.named, failed=False)
        if call.kind is CallKind.OPEN:
            return self._hand_over(held, value, touched)
        if born := self._name_born(held):
            touched.was_born(born)
        if call.kind is CallKind.UNLINK or (
            call.kind is CallKind.RENAME and not call.flags & _EXCHANGE
        ):
            self._world.unlinked(held.places[-1])
        listener.answer(ident, value)
        return str(value)

    def _hand_over(self, held: Held, fd: int, touched: footprints.Touched) -> str:
        """Give the opened descriptor to the target, and note what it is."""
        call, worker = held.call, held.worker
        try:
            status = os.fstat(fd)
            name = self._name_opened(held, status, touched)
            number = worker.listener.answer_descriptor(
                held.notification.id, fd, cloexec=bool(call.flags & os.O_CLOEXEC)
            )
        except OSError as error:
            if error.errno == errno.ENOENT:
                return "ended"
            worker.listener.answer(held.notification.id, 0, error.errno or errno.EMFILE)
            return errno.errorcode.get(error.errno or 0, "error")
        finally:
            os.close(fd)
        if name and stat.S_ISREG(status.st_mode):
            worker.files[held.target.pid, number] = (name, call.writes)
            (touched.writes if call.writes else touched.reads).add(f"d:{name}")
        return "fd"

    def _tell(self, held: Held, touched: footprints.Touched) -> str:
        """Perform a statx that asks for little; where there is no room for it the kernel does."""
        call, error = held.call, 0
        try:
            filled = perform_statx(call, held.target)
        except OSError as failure:
            error = failure.errno or errno.EIO
        else:
            told = statx.blanked(filled, call.arguments[3], self._world.block_bytes)
            try:
                held.target.write(call.arguments[4], told)
            except OSError:
                return self._leave(held, touched)
        footprints.touch(touched, call, held.places, held.named, failed=bool(error))
        held.worker.listener.answer(held.notification.id, 0, error)
        return errno.errorcode.get(error, str(error)) if error else "0"

    def _name_opened(self, held: Held, status: os.stat_result, touched: footprints.Touched) -> str:
        """The inode's name; ``""`` where a link led out of the root."""
        call, place = held.call, held.places[0] if held.places else None
        is_new = call.creates and place is not None and not place.here
        if is_new or call.flags & O_TMPFILE == O_TMPFILE:
            name = self._world.born(status, held.actor)
            touched.was_born(name)
            return name
        return self._world.name_of(status)

    def _name_born(self, held: Held) -> str:
        if held.call.kind is not CallKind.CREATE:
            return ""
        argument = held.call.paths[0]
        with contextlib.suppress(OSError):
            path = os.fsdecode(argument.path)
            base = held.target
            where = path if path[:1] == "/" else f"/proc/{base.pid}/{_base(argument.dirfd)}/{path}"
            return self._world.born(os.lstat(where), held.actor)
        return ""

    # --- left to the kernel, or answered ---------------------------------------------------------

    def _leave(self, held: Held, touched: footprints.Touched) -> str:
        call, worker = held.call, held.worker
        call.asks_little = False  # it is told all
        if call.kind is CallKind.FORK:
            worker.births += 1
            if not makes_thread(call, held.target):
                worker.keep_files(held.target.pid)
        elif call.kind is CallKind.EXIT:
            worker.bury(held)
        elif call.kind is CallKind.EXEC:
            held.target.forget_memory()
        if call.kind in (CallKind.CLOSE, CallKind.DUP, CallKind.EXEC, CallKind.EXIT):
            touched.let_go(held.named, nameless=Intake.is_nameless(held))
            self._forget_files(held)
        elif call.kind is CallKind.FCNTL:
            touched.writes.add(f"l:{held.named[0]}")
            if locks.command_of(call) in (locks.F_SETLK, locks.F_SETLKW):
                worker.locked.add(held.named[0])
                self._world.lies_told += self._lie != "real"  # the kernel's, yet asked for
        else:
            footprints.touch(touched, call, held.places, held.named, failed=False)
            if call.kind in _PERFORMED:
                touched.opaque = (
                    True  # who knows what it did: it is read back when all stands still
                )
        worker.listener.let_go(held.notification.id)
        return UNSEEN

    def _forget_files(self, held: Held) -> None:
        pid = held.target.pid
        if held.call.kind is CallKind.CLOSE:
            for fd in held.call.fds:
                held.worker.files.pop((pid, fd), None)
        elif held.call.kind is CallKind.EXIT:
            for key in [key for key in held.worker.files if key[0] == pid]:
                del held.worker.files[key]

    def _lock(self, held: Held, touched: footprints.Touched) -> str:
        name = held.named[0]
        operation = locks.operation_of(held.call, held.target)
        gives_up = name in held.worker.locked and locks.gives_up(held.call, held.target)
        tried = locks.attempt(held.call, held.target, self._lie)
        self._world.lies_told += self._lie != "real"
        footprints.touch_lock(touched, name, operation, gives_up=gives_up)
        if tried.waits:
            return _WAITS_BARE if gives_up and locks.drops_if_refused(held.call) else WAITS
        held.worker.locked.add(name)
        held.worker.listener.answer(held.notification.id, 0, tried.error)
        return errno.errorcode.get(tried.error, str(tried.error)) if tried.error else "0"

    def _pass_time(self, held: Held) -> str:
        listener, ident = held.worker.listener, held.notification.id
        if not self._intake.has_others_moved(held) or waits.is_over(held.call, held.target):
            held.worker.let_time_pass(held)
            return UNSEEN
        value, error = waits.expire(held.call, held.target)
        listener.answer(ident, value, error)
        return errno.errorcode.get(error, str(value)) if error else str(value)


def _base(dirfd: int) -> str:
    return "cwd" if dirfd == AT_FDCWD else f"fd/{dirfd}"
