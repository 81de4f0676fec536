"""What a held call reads and writes, as objects of ``world``.

Asked twice for each call: before it (what is expected) and after it (what it did: a call that
failed has only looked). A step of the metadata grain is the call with all that its thread does
until its next one, reads and writes of data among it; so every step also touches the data of the
files that its process has open.

A directory is three objects: what it lists (``o:``), whether that is anything (``z:``), and what
its entries leave in its stat (``t:``: times, size, count of links). Why they may be told apart:

Rule 1: whoever makes, removes or replaces an entry writes all, besides the entry itself; there is
        no call that changes a listing and no stat.
Rule 2: getdents answers with names, kinds and inode numbers: the entries'. It reads ``o:`` alone.
        Rmdir and a rename onto a directory find whether there are any (``z:``), and write ``o:``
        when they take it away: of a directory that is gone getdents says another thing.
Rule 3: stat answers with the inode's own (``i:``) and with ``t:``, none of which names an entry.
Rule 4: what sets times or a mode writes ``i:`` and, since each stamp of a directory is set by new
        entries as well and the last one stays, ``t:``. It leaves the listing as it was.
Rule 5: who only goes to a directory (opens, moves, locks or dates it) reads neither: what comes of
        it follows from the entry and from ``i:``. Of a file whoever opens it reads the data, too.
        Who asks what he may (access) or where a link leads (readlink) never does.
Rule 6: a statx that asks for none of what data and entries change is told none of it, and reads
        ``i:`` alone (``statx``); the mode asked for, ``d:``: who writes to a file takes
        set-user-ID from it, unseen. It asks for much where we cannot perform it.
Rule 7: extended attributes and free space count as stat: some file systems tell of entries there.
Rule 8: when something was read last (atime) is no object, here as elsewhere: mounts differ in it.

What a step shows its actor (``unseen`` in a footprint is the rest):

Rule 9: who makes, removes or replaces an entry learns of that entry. What it leaves in the listing
        and in the stat of the directory, and whether there were others, it does not learn; neither
        does who sets stamps learn of those before.
Rule 10: who makes an inode takes a free number, and learns which only by a look at the inode
        (``n:``) or a listing: both are fed by what was free. That follows from who has an inode
        open, too, when its last name goes: who opens or closes it marks ``h:``, which is written
        then. Nobody is told of marks but who takes the name away.
Rule 11: who closes a file or dies learns nothing of the locks that go; who asks for a lock does.

Source: gate_rules T2; readdir(3), rmdir(2), rename(2), inode(7) on what updates which stamp.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Collection, Iterator, Sequence

from untorn_stress.gate import statx
from untorn_stress.gate.calls import Call, CallKind
from untorn_stress.gate.world import INODES, Place
from untorn_stress.schedulers.protocol import Footprint

_SETS_SIZE = frozenset({"truncate", "ftruncate", "fallocate"})
_SETS_TIMES = frozenset({"utime", "utimes", "futimesat", "utimensat"})
_SHOWS_NO_STAT = frozenset({"access", "chdir", "faccessat", "faccessat2", "readlink", "readlinkat"})
_WANTS_EMPTY = frozenset({CallKind.UNLINK, CallKind.RENAME})
_CHANGES_NAMES = _WANTS_EMPTY | {CallKind.CREATE, CallKind.LINK}


class Touched:
    """Collects reads and writes."""

    def __init__(self, *, inodes: bool) -> None:
        self.reads: set[str] = set()
        self.writes: set[str] = set()
        self.opaque = False
        self._inodes = inodes
        self._read_unseen: set[str] = set()
        self._written_unseen: set[str] = set()
        self._fed: set[str] = set()
        self._marks: set[str] = set()

    def footprint(self) -> Footprint:
        """What was collected; of what was read and also written unseen, something was learned."""
        writes = self.writes | self._written_unseen
        unseen = self._written_unseen | self._read_unseen
        return Footprint(
            frozenset((self.reads | self._read_unseen) - writes),
            frozenset(writes),
            self.opaque,
            frozenset(unseen - self.reads - self.writes),
            frozenset(self._fed),
            frozenset(self._marks),
        )

    def looked(self, place: Place) -> None:
        """The entry was looked up, and of which kind and whose it is what is there."""
        self.reads.update(place.walked)
        if place.parent not in ("", "?") and place.entry:
            self.reads.add(f"e:{place.parent}/{place.entry}")
        if place.here:
            self.reads.add(f"i:{place.here}")

    def saw(self, name: str) -> None:
        """An inode's attributes were read: size and times change with its data and its entries."""
        self.reads.update((f"i:{name}", f"t:{name}", f"d:{name}"))
        self.numbered(name)

    def numbered(self, name: str) -> None:
        """An inode's number was read."""
        if self._inodes:
            self.reads.add(f"n:{name}")

    def listed(self, name: str) -> None:
        """A directory's entries were read."""
        self.reads.add(f"o:{name}")

    def needed_empty(self, name: str) -> None:
        """It was found out whether a directory has any entries."""
        self.reads.add(f"z:{name}")

    def changed_entry(self, place: Place) -> None:
        """The entry was made, removed or pointed elsewhere."""
        parent = place.parent
        if parent and parent != "?":
            self.writes.add(f"e:{parent}/{place.entry}")
            self._written_unseen.update((f"o:{parent}", f"t:{parent}", f"z:{parent}"))

    def changed(self, name: str) -> None:
        """An inode's attributes were changed."""
        self.writes.add(f"i:{name}")
        self._written_unseen.add(f"t:{name}")

    def took_inode(self, place: Place) -> None:
        """A free inode number was taken for a new entry, which shows it to who looks or lists."""
        if self._inodes:
            self._read_unseen.add(INODES)
            self._fed.add(f"o:{place.parent}")

    def moved_inode(self, source: str, place: Place) -> None:
        """An entry got an inode that there was, whose number a listing shows."""
        if self._inodes:
            self._read_unseen.add(f"n:{source}")
            self._fed.add(f"o:{place.parent}")

    def was_born(self, name: str) -> None:
        """The inode that a call made, from the number that it took, has that name."""
        if self._inodes:
            self._written_unseen.add(f"n:{name}")
            self._fed.add(f"n:{name}")

    def held_open(self, name: str) -> None:
        """Who has it open has changed: an inode without a name is free when nobody has."""
        if self._inodes and name:
            self._read_unseen.add(f"h:{name}")
            self._marks.add(f"h:{name}")

    def shared_lock(self, name: str) -> None:
        """A lock was asked for that many may have."""
        self.reads.add(f"l:{name}")
        self._marks.add(f"l:{name}")

    def let_go(self, names: Collection[str], *, nameless: bool) -> None:
        """Descriptors of these were closed; ``nameless``: one has no name, and frees its inode."""
        self._written_unseen.update(f"l:{name}" for name in names)
        for name in names:
            self.held_open(name)
        if self._inodes:
            self.reads.update(f"i:{name}" for name in names)
            if nameless:
                self._written_unseen.add(INODES)

    def freed_inode(self, place: Place) -> None:
        """A name of the inode went, the last one perhaps."""
        self.writes.add(f"i:{place.here}")
        if stat.S_ISDIR(place.mode):
            self.writes.update((f"p:{place.here}", f"o:{place.here}", f"z:{place.here}"))
        if self._inodes and (stat.S_ISDIR(place.mode) or place.nlink <= 1):
            self.writes.add(f"h:{place.here}")
            self._written_unseen.add(INODES)


def touch(
    touched: Touched,
    call: Call,
    places: Sequence[Place],
    named: Sequence[str],
    *,
    failed: bool,
) -> None:
    """Add what the call touches; ``named`` are the inodes of its descriptors, ``""`` outside."""
    for place in places:
        touched.looked(place)
    kind = call.kind
    inside = [name for name in named if name]
    if kind is CallKind.STAT:
        for name in (*inside, *_here(places)):
            _stat(touched, call, name)
    elif kind is CallKind.LIST:
        for name in inside:
            touched.listed(name)
    elif kind is CallKind.OPEN:
        _open(touched, call, places[0], failed=failed)
    elif kind is CallKind.ATTRIBUTE:
        _attributes(touched, call, (*inside, *_here(places)))
    elif kind in (CallKind.READ, CallKind.WRITE):
        _data(touched, kind, named)
    elif kind in _CHANGES_NAMES:
        _need_empty(touched, kind, places[-1])
        if not failed:
            _names(touched, kind, places, named)


def _here(places: Sequence[Place]) -> Iterator[str]:
    """The inodes that there are at the ends of the paths."""
    return (place.here for place in places if place.here)


def _stat(touched: Touched, call: Call, name: str) -> None:
    """What a call shows that only looks at an inode."""
    if call.asks_little or call.name in _SHOWS_NO_STAT:
        touched.reads.add(f"i:{name}")
        if call.asks_little and call.arguments[3] & statx.MODE:
            touched.reads.add(f"d:{name}")
        if call.asks_little and call.arguments[3] & statx.INO:
            touched.numbered(name)
    else:
        touched.saw(name)


def _attributes(touched: Touched, call: Call, names: Sequence[str]) -> None:
    for name in names:
        touched.changed(name)
        if call.name in _SETS_SIZE:
            touched.writes.add(f"d:{name}")
        elif call.name not in _SETS_TIMES:
            touched.writes.add(f"p:{name}")


def _need_empty(touched: Touched, kind: CallKind, place: Place) -> None:
    """Who takes a directory away, or another's place, finds whether anything is in it."""
    if kind in _WANTS_EMPTY and place.here and stat.S_ISDIR(place.mode):
        touched.needed_empty(place.here)


def _names(touched: Touched, kind: CallKind, places: Sequence[Place], named: Sequence[str]) -> None:
    if kind is CallKind.CREATE:
        touched.changed_entry(places[0])
        touched.took_inode(places[0])
    elif kind is CallKind.LINK:
        for name in (*named, *_here(places[:-1])):
            if name:  # a descriptor's (AT_EMPTY_PATH) or a path's
                touched.changed(name)
                touched.moved_inode(name, places[-1])
        touched.changed_entry(places[-1])
    elif kind is CallKind.RENAME:
        source, target = places
        touched.changed_entry(source)
        touched.changed_entry(target)
        if source.here:
            touched.writes.add(f"i:{source.here}")
            touched.moved_inode(source.here, target)
        if target.here:
            touched.freed_inode(target)
            touched.moved_inode(target.here, source)  # where they are exchanged
    else:
        touched.changed_entry(places[0])
        if places[0].here:
            touched.freed_inode(places[0])


def _open(touched: Touched, call: Call, place: Place, *, failed: bool) -> None:
    if failed:
        return
    if place.here:
        touched.reads.add(f"d:{place.here}")
        touched.held_open(place.here)
    if call.creates and not place.here:
        touched.changed_entry(place)
        touched.took_inode(place)
    elif call.flags & os.O_TRUNC and place.here:
        touched.changed(place.here)
        touched.writes.add(f"d:{place.here}")


def _data(touched: Touched, kind: CallKind, named: Sequence[str]) -> None:
    if kind is CallKind.READ:
        touched.reads.update(f"d:{name}" for name in named if name)
        return
    written, *read = named
    if written:
        touched.writes.update((f"d:{written}", f"i:{written}"))
    touched.reads.update(f"d:{name}" for name in read if name)


def touch_lock(touched: Touched, name: str, operation: int, *, gives_up: bool) -> None:
    """Add what an attempt at a lock touches, granted or refused: those that share commute.

    One that ``gives_up`` a lock of its own, by converting it, lets others in and does not. What
    comes of an exclusive attempt depends on all who share, so even a refused one is a write.
    """
    if operation & fcntl.LOCK_SH and not gives_up:
        touched.shared_lock(name)
    else:
        touched.writes.add(f"l:{name}")


def touch_open_files(touched: Touched, read: Collection[str], written: Collection[str]) -> None:
    """Add the data that the process may read and write without our seeing it."""
    touched.reads.update(f"d:{name}" for name in read)
    touched.writes.update(f"d:{name}" for name in written)


def touch_memory(touched: Touched, letter: str, *, shared: bool) -> None:
    """Threads of one worker, and a parent and its child, share what no call shows: all of it."""
    if shared:
        touched.writes.add(f"m:{letter}")
