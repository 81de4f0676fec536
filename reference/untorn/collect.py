"""Collect: evict least recently used entries down to a budget, and reap what the dead left.

    G0 flock ctl/gc.lock EX, without waiting   held: skipped, another collector is at it
    G1 list v1/: one stat an entry, its size from its manifest's first line
    G2 oldest first, while over budget:        younger than min_age: passed over
       open it, flock EX without waiting       held: leased, passed over
       inode and mtime as they were listed?    no: touched or replaced meanwhile, passed over
       rename it into the trash, close         <- 50 us, the only moment a reader can find it busy
    G3 empty the trash, reap dead staging, reclaim older generations, heal the counter

Planning is pure (`plan`); everything that removes re-checks under the lock what it was told.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from untorn import accounting, events, layout, syscalls
from untorn.lookup import FUTURE_SLACK_S, NS, stamp_ns
from untorn.manifest import frame_bytes_said
from untorn.outcome import Collected, Skipped, SkipReason
from untorn.reap import reap_staging
from untorn.root import Root
from untorn.trash import delete, drain, set_aside

_HEAD_BYTES = 4096  # of a manifest: all of one of 120 frames
_MANIFEST_FLAGS = os.O_RDONLY | syscalls.FILE_FLAGS


class Listed(NamedTuple):
    """An entry as the listing saw it; a tuple, because a sweep makes one for each entry."""

    key: str
    inode: int
    mtime_ns: int
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Orders:
    """What a collect is asked to do; `budget_bytes` None evicts nothing for budget."""

    budget_bytes: int | None
    min_age_s: float
    reap_grace_s: float
    now_s: float
    dry_run: bool = False


@dataclass(slots=True)
class Tally:
    """What a pass has done so far."""

    evicted: int = 0
    reclaimed: int = 0  # entries of older generations, which the listing does not hold
    freed_bytes: int = 0
    gone_bytes: int = 0  # by the listing's sizes: what the counter and the budget lose
    protected: Counter[str] = field(default_factory=Counter)


def collect(root: Root, orders: Orders) -> Collected | Skipped:
    """One pass over the cache (raises OSError if the root cannot be listed)."""
    if not root.trust.locks:
        return Skipped(reason=SkipReason.UNTRUSTED, detail=root.trust.reason)
    # Nothing is written to it, so no close of it can fail for what was written.
    flags = os.O_RDONLY | os.O_CREAT | syscalls.FILE_FLAGS
    with syscalls.opened(layout.GC_LOCK, flags, dir_fd=root.ctl_fd) as lock:
        if not syscalls.lock_exclusive(lock):
            return Skipped(reason=SkipReason.ANOTHER_COLLECTOR)
        if not orders.dry_run:
            syscalls.require_only_name(lock, layout.GC_LOCK)
            os.utime(lock)  # when somebody last collected, for Upkeep
        return _collect_alone(root, orders)


def _collect_alone(root: Root, orders: Orders) -> Collected:
    counted = accounting.read(root)
    listing = _list_entries(root)
    total = sum(entry.size for entry in listing)
    tally = Tally()
    victims = plan(listing, total, orders, tally)
    if orders.dry_run:
        _count_only(root, victims, total, orders, tally)
    else:
        _evict(root, victims, total, orders, tally)
        _date_back(root, listing, orders.now_s)
        tally.freed_bytes += _attempt(tally, lambda: drain(root))
    _attempt(tally, lambda: _reclaim_generations(root, orders, tally))
    reaped = _attempt(
        tally,
        lambda: reap_staging(root, orders.reap_grace_s, orders.now_s, dry_run=orders.dry_run),
    )
    if not orders.dry_run:
        drift = accounting.Usage(
            len(listing) - counted.entries - tally.evicted,
            total - counted.size - tally.gone_bytes,
        )
        if drift != accounting.Usage(0, 0):
            _attempt(tally, lambda: accounting.add(root, drift.entries, drift.size))
    left = total - tally.gone_bytes
    return Collected(
        evicted=tally.evicted + tally.reclaimed,
        freed_bytes=tally.freed_bytes,
        reaped=reaped,
        over_budget_bytes=0 if orders.budget_bytes is None else max(0, left - orders.budget_bytes),
        entries=len(listing) - tally.evicted,
        entry_bytes=left,
        protected=dict(tally.protected),
        dry_run=orders.dry_run,
    )


_T = TypeVar("_T")


def _attempt(tally: Tally, step: Callable[[], _T]) -> _T | int:
    """One step of housekeeping. Its failure must not lose the count of what was evicted before."""
    try:
        return step()
    except OSError as error:
        tally.protected[_cause(error)] += 1
        events.warn_once("housekeeping", f"a collect was left unfinished: {error}")
        return 0


def _cause(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "error").lower()


def plan(listing: Sequence[Listed], total: int, orders: Orders, tally: Tally) -> list[Listed]:
    """Who may be evicted, least recently used first, ties by key; nobody when within budget.

    An mtime in the future counts as now, so a clock that was set back makes nothing old.
    """
    if orders.budget_bytes is None or total <= orders.budget_bytes:
        return []
    now_ns = int(orders.now_s * NS)
    victims = []
    for entry in sorted(listing, key=lambda entry: (min(entry.mtime_ns, now_ns), entry.key)):
        if max(0, now_ns - entry.mtime_ns) / NS < orders.min_age_s:
            tally.protected["young"] += 1
        else:
            victims.append(entry)
    return victims


def _evict(root: Root, victims: Sequence[Listed], total: int, orders: Orders, tally: Tally) -> None:
    """G2: renames first, so that space is accounted for at once; then the slow deletions."""
    assert orders.budget_bytes is not None or not victims
    trashed: list[str] = []
    for entry in victims:
        if total - tally.gone_bytes <= (orders.budget_bytes or 0):
            break
        try:
            target = _set_entry_aside(root, entry, tally)
        except OSError as error:
            tally.protected[_cause(error)] += 1
            continue
        if target is not None:
            tally.evicted += 1
            tally.gone_bytes += entry.size
            trashed.append(target)
    for target in trashed:
        tally.freed_bytes += delete(root.trash_fd, target).size


def _set_entry_aside(root: Root, entry: Listed, tally: Tally) -> str | None:
    """Rename one entry into the trash under its lock; None if it is protected or gone."""
    try:
        with syscalls.opened(entry.key, syscalls.DIRECTORY_FLAGS, dir_fd=root.entries_fd) as fd:
            if not syscalls.lock_exclusive(fd):
                tally.protected["leased"] += 1
                return None
            ours = os.fstat(fd)
            if ours.st_uid != os.geteuid():
                tally.protected["foreign"] += 1
                return None
            there = os.stat(entry.key, dir_fd=root.entries_fd, follow_symlinks=False)
            if (ours.st_ino, ours.st_mtime_ns) != (entry.inode, entry.mtime_ns) or (
                there.st_ino != ours.st_ino
            ):
                tally.protected["changed"] += 1
                return None
            return set_aside(root, root.entries_fd, entry.key, ours.st_ino)
    except FileNotFoundError:
        return None


def _count_only(
    root: Root, victims: Sequence[Listed], total: int, orders: Orders, tally: Tally
) -> None:
    """What `_evict` would do, with the locks tried and nothing changed."""
    for entry in victims:
        if total - tally.gone_bytes <= (orders.budget_bytes or 0):
            break
        try:
            with syscalls.opened(entry.key, syscalls.DIRECTORY_FLAGS, dir_fd=root.entries_fd) as fd:
                if not syscalls.lock_exclusive(fd):
                    tally.protected["leased"] += 1
                    continue
                tally.freed_bytes += _size_on_disk(fd)
        except FileNotFoundError:
            continue  # gone meanwhile
        except OSError as error:
            tally.protected[_cause(error)] += 1
            continue
        tally.evicted += 1
        tally.gone_bytes += entry.size


def _list_entries(root: Root) -> list[Listed]:
    listing = []
    with os.scandir(root.entries_fd) as children:
        for child in children:
            if not layout.is_key(child.name):
                continue  # not ours
            try:
                status = child.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if not stat.S_ISDIR(status.st_mode):
                continue  # in the place of an entry: the next publish of the key clears it
            size = _size_of_entry(root, child.name)
            listing.append(Listed(child.name, status.st_ino, status.st_mtime_ns, size))
    return listing


def _size_of_entry(root: Root, key: str) -> int:
    """The bytes of an entry: as its manifest says, else as they lie there; 0 if not to be read."""
    said = _size_by_manifest(root, key)
    if said is not None:
        return said
    try:
        with syscalls.opened(key, syscalls.DIRECTORY_FLAGS, dir_fd=root.entries_fd) as fd:
            return _size_on_disk(fd)
    except OSError:
        return 0


def _size_by_manifest(root: Root, key: str) -> int | None:
    """The bytes of an entry by its manifest, None for one that says none.

    It is opened plainly: ten thousand context managers would cost a third of a sweep.
    """
    try:
        fd = os.open(f"{key}/{layout.MANIFEST}", _MANIFEST_FLAGS, dir_fd=root.entries_fd)
    except OSError:
        return None
    try:
        head = os.read(fd, _HEAD_BYTES)
        said = frame_bytes_said(head, key)
        if said is None:
            return None
        return said + (len(head) if len(head) < _HEAD_BYTES else os.fstat(fd).st_size)
    except OSError:
        return None
    finally:
        os.close(fd)


def _size_on_disk(fd: int) -> int:
    return sum(
        os.stat(name, dir_fd=fd, follow_symlinks=False).st_size
        for name in syscalls.list_directory(fd)
    )


def _reclaim_generations(root: Root, orders: Orders, tally: Tally) -> None:
    """Entries of older schemas, which no lookup of ours reaches, go whatever the budget.

    Entry by entry and under each one's lock: an older release may be reading them on this machine.
    """
    for name in syscalls.list_directory(root.fd):
        generation = layout.generation_of(name)
        if generation is None or generation >= layout.GENERATION:
            continue
        try:
            with syscalls.opened(name, syscalls.DIRECTORY_FLAGS, dir_fd=root.fd) as fd:
                keys, reclaimed = syscalls.list_directory(fd), tally.reclaimed
                for key in keys:
                    try:
                        _reclaim(root, fd, key, orders, tally)
                    except OSError as error:  # the rest can go all the same
                        tally.protected[_cause(error)] += 1
            if not orders.dry_run:
                os.rmdir(name, dir_fd=root.fd)
            elif tally.reclaimed - reclaimed < len(keys):
                tally.protected["old-generation"] += 1
        except OSError:
            tally.protected["old-generation"] += 1


def _reclaim(root: Root, parent_fd: int, key: str, orders: Orders, tally: Tally) -> None:
    if not layout.is_key(key):
        return
    with syscalls.opened(key, syscalls.DIRECTORY_FLAGS, dir_fd=parent_fd) as fd:
        status = os.fstat(fd)
        if max(0.0, orders.now_s - status.st_mtime_ns / NS) < orders.min_age_s:
            tally.protected["young"] += 1
            return
        if status.st_uid != os.geteuid():
            tally.protected["foreign"] += 1
            return
        if not syscalls.lock_exclusive(fd):
            tally.protected["leased"] += 1
            return
        if orders.dry_run:
            tally.reclaimed += 1
            tally.freed_bytes += _size_on_disk(fd)
            return
        target = set_aside(root, parent_fd, key, status.st_ino)
    if target is not None:
        tally.reclaimed += 1
        tally.freed_bytes += delete(root.trash_fd, target).size


def _date_back(root: Root, listing: Sequence[Listed], now_s: float) -> None:
    """Entries dated in the future become entries of now, so that they age from here on."""
    limit_ns = int((now_s + FUTURE_SLACK_S) * NS)
    stamp = stamp_ns(now_s)
    for entry in listing:
        if entry.mtime_ns > limit_ns:
            with contextlib.suppress(OSError):  # evicted, or read-only: it stays as it is
                # What is below a microsecond tells who wrote the stamp: ours or somebody else's.
                dated = stamp + entry.mtime_ns % 1000
                os.utime(
                    entry.key, ns=(dated, dated), dir_fd=root.entries_fd, follow_symlinks=False
                )
