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
from typing import NamedTuple

from untorn_stress.gate import footprints, locks, statx, waits
from untorn_stress.gate.calls import O_TMPFILE, CallKind
from untorn_stress.gate.intake import Intake, makes_thread, touch_unseen
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
_LOOKS = frozenset({CallKind.STAT, CallKind.LIST, CallKind.READ, CallKind.WRITE})
"""Left to the kernel, and touching what was expected, whatever comes of them."""
_LOCKS = frozenset({CallKind.FLOCK, CallKind.FCNTL})
_EXCHANGE = 2
"""RENAME_EXCHANGE of renameat2(2): both names stay."""

UNSEEN = "?"
WAITS = "waits"


class Done(NamedTuple):
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
        kind, asks_little = held.call.kind, held.call.asks_little
        if kind in _LOOKS and not asks_little and held.basis == held.worker.basis():
            held.worker.listener.let_go(held.notification.id)
            return self._over(held, UNSEEN, held.expected)
        if kind in _PERFORMED and self._can_perform(held):
            return self._perform(held)
        if asks_little and self._can_perform(held):
            return self._tell(held)
        if kind in _LOCKS and locks.is_ours(held.call):
            return self._lock(held)
        return self._pass_time(held) if kind is CallKind.WAIT else self._leave(held)

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
        return self._over(held, name, touched.footprint())

    def shorten(self, held: Held) -> Done:
        """Write half of what a write asks for, and answer so."""
        touched = self._unseen(held)
        written = self._write_half(held, touched)
        held.worker.listener.answer(held.notification.id, written)
        return self._over(held, str(written), touched.footprint())

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
        touch_unseen(touched, held.worker)
        return touched

    def _touched(self, held: Held, *, failed: bool) -> Footprint:
        """What the step touches by its call, and besides; as expected, if it does not fail."""
        if not failed and held.basis == held.worker.basis():
            return held.expected
        touched = self._unseen(held)
        footprints.touch(touched, held.call, held.places, held.named, failed=failed)
        return touched.footprint()

    @staticmethod
    def _over(held: Held, result: str, footprint: Footprint) -> Done:
        worker = held.worker
        worker.held.pop(held.notification.tid, None)  # who ends is buried already
        worker.asleep = None
        worker.has_rested = False
        return Done(result, footprint)

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

    def _perform(self, held: Held) -> Done:
        listener, ident, call = held.worker.listener, held.notification.id, held.call
        try:
            if call.kind is CallKind.OPEN and held.target.is_full:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            value = perform(call, held.target)
        except OSError as error:
            number = error.errno or errno.EIO
            footprint = self._touched(held, failed=True)
            listener.answer(ident, 0, number)
            return self._over(held, errno.errorcode.get(number, str(number)), footprint)
        if call.kind is CallKind.OPEN:
            return self._hand_over(held, value)
        footprint = self._touched(held, failed=False)
        if call.kind is CallKind.CREATE:
            footprint = self._made(held)
        elif call.kind is CallKind.UNLINK or (
            call.kind is CallKind.RENAME and not call.flags & _EXCHANGE
        ):
            self._world.unlinked(held.places[-1])
        listener.answer(ident, value)
        return self._over(held, str(value), footprint)

    def _hand_over(self, held: Held, fd: int) -> Done:
        """Give the opened descriptor to the target, and note what it is."""
        call, worker, touched = held.call, held.worker, self._unseen(held)
        footprints.touch(touched, call, held.places, held.named, failed=False)
        try:
            status = os.fstat(fd)
            name = self._name_opened(held, status, touched)
            number = worker.listener.answer_descriptor(
                held.notification.id, fd, cloexec=bool(call.flags & os.O_CLOEXEC)
            )
        except OSError as error:
            if error.errno == errno.ENOENT:
                return self._over(held, "ended", touched.footprint())
            worker.listener.answer(held.notification.id, 0, error.errno or errno.EMFILE)
            result = errno.errorcode.get(error.errno or 0, "error")
            return self._over(held, result, touched.footprint())
        finally:
            os.close(fd)
        if name and stat.S_ISREG(status.st_mode):
            worker.opens(held.target.pid, number, name, writes=call.writes)
            (touched.writes if call.writes else touched.reads).add(f"d:{name}")
        return self._over(held, "fd", touched.footprint())

    def _tell(self, held: Held) -> Done:
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
                return self._leave(held)
        footprint = self._touched(held, failed=bool(error))
        held.worker.listener.answer(held.notification.id, 0, error)
        result = errno.errorcode.get(error, str(error)) if error else "0"
        return self._over(held, result, footprint)

    def _name_opened(self, held: Held, status: os.stat_result, touched: footprints.Touched) -> str:
        """The inode's name; ``""`` where a link led out of the root."""
        call, place = held.call, held.places[0] if held.places else None
        is_new = call.creates and place is not None and not place.here
        if is_new or call.flags & O_TMPFILE == O_TMPFILE:
            name = self._world.born(status, held.actor)
            touched.was_born(name)
            touched.held_open(name)
            return name
        return self._world.name_of(status)

    def _made(self, held: Held) -> Footprint:
        """What a step touches that has made something, which gets its name here."""
        touched = self._unseen(held)
        footprints.touch(touched, held.call, held.places, held.named, failed=False)
        if born := self._name_born(held):
            touched.was_born(born)
        return touched.footprint()

    def _name_born(self, held: Held) -> str:
        argument = held.call.paths[0]
        with contextlib.suppress(OSError):
            path = os.fsdecode(argument.path)
            base = held.target
            where = path if path[:1] == "/" else f"/proc/{base.pid}/{_base(argument.dirfd)}/{path}"
            return self._world.born(os.lstat(where), held.actor)
        return ""

    # --- left to the kernel, or answered ---------------------------------------------------------

    def _leave(self, held: Held) -> Done:
        call, worker, touched = held.call, held.worker, self._unseen(held)
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
        return self._over(held, UNSEEN, touched.footprint())

    def _forget_files(self, held: Held) -> None:
        if held.call.kind is CallKind.CLOSE:
            held.worker.closes(held.target.pid, held.call.fds)
        elif held.call.kind is CallKind.EXIT:
            held.worker.closes(held.target.pid)

    def _lock(self, held: Held) -> Done:
        name, touched = held.named[0], self._unseen(held)
        operation = locks.operation_of(held.call, held.target)
        gives_up = name in held.worker.locked and locks.gives_up(held.call, held.target)
        tried = locks.attempt(held.call, held.target, self._lie)
        self._world.lies_told += self._lie != "real"
        footprints.touch_lock(touched, name, operation, gives_up=gives_up)
        if tried.waits:
            held.waits_for_lock = True
            is_bare = gives_up and locks.drops_if_refused(held.call)
            return Done(WAITS, touched.footprint(), changes_lock=is_bare)
        held.worker.locked.add(name)
        held.worker.listener.answer(held.notification.id, 0, tried.error)
        result = errno.errorcode.get(tried.error, str(tried.error)) if tried.error else "0"
        return self._over(held, result, touched.footprint())

    def _pass_time(self, held: Held) -> Done:
        listener, ident = held.worker.listener, held.notification.id
        footprint = self._unseen(held).footprint()
        if not self._intake.has_others_moved(held) or waits.is_over(held.call, held.target):
            held.worker.let_time_pass(held)
            return self._over(held, UNSEEN, footprint)
        value, error = waits.expire(held.call, held.target)
        listener.answer(ident, value, error)
        result = errno.errorcode.get(error, str(value)) if error else str(value)
        return self._over(held, result, footprint)


def _base(dirfd: int) -> str:
    return "cwd" if dirfd == AT_FDCWD else f"fd/{dirfd}"
