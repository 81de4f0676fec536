"""What a held call reads and writes, as objects of ``world``.

Asked twice for each call: before it (what is expected) and after it (what it did: a call that
failed has only looked). A step of the metadata grain is the call with all that its thread does
until its next one, reads and writes of data among it; so every step also touches the data of the
files that its process has open.

Source: gate_rules T2.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Collection, Sequence

from untorn_stress.gate.calls import Call, CallKind
from untorn_stress.gate.world import INODES, Place
from untorn_stress.schedulers.protocol import Footprint

_SETS_SIZE = frozenset({"truncate", "ftruncate", "fallocate"})
_SETS_TIMES = frozenset({"utime", "utimes", "futimesat", "utimensat"})


class Touched:
    """Collects reads and writes."""

    def __init__(self, *, inodes: bool) -> None:
        self.reads: set[str] = set()
        self.writes: set[str] = set()
        self.opaque = False
        self._inodes = inodes

    def footprint(self) -> Footprint:
        """What was collected."""
        return Footprint(frozenset(self.reads - self.writes), frozenset(self.writes), self.opaque)

    def looked(self, place: Place) -> None:
        """The entry was looked up, and what is there was looked at."""
        self.reads.update(place.walked)
        if place.parent not in ("", "?") and place.entry:
            self.reads.add(f"e:{place.parent}/{place.entry}")
        if place.here:
            self.saw(place.here)

    def saw(self, name: str) -> None:
        """An inode's attributes were read: size and times change with its data and its entries."""
        self.reads.update((f"i:{name}", f"o:{name}", f"d:{name}"))

    def changed_entry(self, place: Place) -> None:
        """The entry was made, removed or pointed elsewhere."""
        if place.parent and place.parent != "?":
            self.writes.update((f"e:{place.parent}/{place.entry}", f"o:{place.parent}"))

    def changed(self, name: str) -> None:
        """An inode's attributes were changed."""
        self.writes.update((f"i:{name}", f"o:{name}"))

    def took_inode(self) -> None:
        """A free inode number was taken."""
        if self._inodes:
            self.reads.add(INODES)

    def let_go(self, names: Collection[str], *, nameless: bool) -> None:
        """Descriptors of these were closed; ``nameless``: one has no name, and frees its inode."""
        self.writes.update(f"l:{name}" for name in names)
        if self._inodes:
            self.reads.update(f"i:{name}" for name in names)
            if nameless:
                self.writes.add(INODES)

    def freed_inode(self, place: Place) -> None:
        """A name of the inode went, the last one perhaps."""
        self.writes.add(f"i:{place.here}")
        if stat.S_ISDIR(place.mode):
            self.writes.add(f"p:{place.here}")
        if self._inodes and (stat.S_ISDIR(place.mode) or place.nlink <= 1):
            self.writes.add(INODES)


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
    if kind in (CallKind.STAT, CallKind.LIST):
        for name in inside:
            touched.saw(name)
    elif kind is CallKind.OPEN:
        _open(touched, call, places[0], failed=failed)
    elif kind is CallKind.ATTRIBUTE:
        for name in (*inside, *(place.here for place in places if place.here)):
            touched.changed(name)
            if call.name in _SETS_SIZE:
                touched.writes.add(f"d:{name}")
            elif call.name not in _SETS_TIMES:
                touched.writes.add(f"p:{name}")
    elif kind in (CallKind.READ, CallKind.WRITE):
        _data(touched, kind, named)
    elif kind in (CallKind.CREATE, CallKind.LINK, CallKind.RENAME, CallKind.UNLINK) and not failed:
        _names(touched, kind, places, named)


def _names(touched: Touched, kind: CallKind, places: Sequence[Place], named: Sequence[str]) -> None:
    if kind is CallKind.CREATE:
        touched.changed_entry(places[0])
        touched.took_inode()
    elif kind is CallKind.LINK:
        for name in (*named, *(place.here for place in places[:-1])):
            if name:  # a descriptor's (AT_EMPTY_PATH) or a path's
                touched.changed(name)
        touched.changed_entry(places[-1])
    elif kind is CallKind.RENAME:
        source, target = places
        touched.changed_entry(source)
        touched.changed_entry(target)
        if source.here:
            touched.writes.add(f"i:{source.here}")
        if target.here:
            touched.freed_inode(target)
    else:
        touched.changed_entry(places[0])
        if places[0].here:
            touched.freed_inode(places[0])


def _open(touched: Touched, call: Call, place: Place, *, failed: bool) -> None:
    if failed:
        return
    if call.creates and not place.here:
        touched.changed_entry(place)
        touched.took_inode()
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
    shares = bool(operation & fcntl.LOCK_SH)
    (touched.reads if shares and not gives_up else touched.writes).add(f"l:{name}")


def touch_open_files(touched: Touched, read: Collection[str], written: Collection[str]) -> None:
    """Add the data that the process may read and write without our seeing it."""
    touched.reads.update(f"d:{name}" for name in read)
    touched.writes.update(f"d:{name}" for name in written)


def touch_memory(touched: Touched, letter: str, *, shared: bool) -> None:
    """Threads of one worker, and a parent and its child, share what no call shows: all of it."""
    if shared:
        touched.writes.add(f"m:{letter}")
