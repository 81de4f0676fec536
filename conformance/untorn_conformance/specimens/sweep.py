"""The seed's collector: least recently used entries are removed in place until the budget is kept.

Facts: heygen-com/hyperframes, extractionCache.ts, ``gcExtractionCache`` (lines 355-454 in v0.8.10)
without the marker file, which came after PR #1901 (#1885).

Rule 1: nobody is asked. An age below ``min_age_s`` is all that protects an entry in use.
Rule 2: unpublished work whose directory is old enough goes at once, whatever the budget.
Rule 3: an entry was last used when its sentinel was last touched; without one, when its directory
        last changed. Its size is that of its files, summed over their names.
Rule 4: nothing fails. What cannot be looked at is passed over; what cannot be removed is counted as
        evicted all the same.

Times are kept in full where the original cuts them to milliseconds: an age must not become negative
by rounding, or the same steps would sometimes evict and sometimes not.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from untorn_conformance.specimens.removal import DeletionOrder, remove_tree
from untorn_conformance.specimens.seed_layout import SENTINEL, is_partial, is_swept


@dataclass(frozen=True, kw_only=True, slots=True)
class Swept:
    """What a sweep counted.

    ``left_bytes`` is what it believes to remain, ``young`` counts what was too new to go, and
    ``ignored_errors`` the failures that it passed over.
    """

    evicted: int = 0
    freed_bytes: int = 0
    reaped: int = 0
    left_bytes: int = 0
    young: int = 0
    ignored_errors: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Child:
    path: str
    last_use_ns: int
    size_bytes: int


class Sweep:
    """One pass over a root; ``dry_run``, which the original had later, removes nothing."""

    def __init__(self, *, min_age_s: float, now_ns: int, order: DeletionOrder, dry_run: bool):
        self._min_age_ns = round(min_age_s * 1e9)
        self._now_ns = now_ns
        self._order = order
        self._dry_run = dry_run
        self._ignored_errors = 0
        self._reaped = 0

    def run(self, root: str, *, budget_bytes: int) -> Swept:
        """Reap, then evict down to the budget; never raises an OSError."""
        children = list(self._survey(root))
        left_bytes = sum(child.size_bytes for child in children)
        evicted = freed_bytes = young = 0
        for child in sorted(children, key=lambda child: child.last_use_ns):
            if left_bytes <= budget_bytes:
                break
            if self._is_young(child.last_use_ns):
                young += 1
                continue
            self._try_to_remove(child.path)
            evicted += 1
            freed_bytes += child.size_bytes
            left_bytes -= child.size_bytes
        return Swept(
            evicted=evicted,
            freed_bytes=freed_bytes,
            reaped=self._reaped,
            left_bytes=left_bytes,
            young=young,
            ignored_errors=self._ignored_errors,
        )

    def _survey(self, root: str) -> Iterator[_Child]:
        """Look at every child in the order of its name, and reap on the way."""
        try:
            names = _directories(root)
        except OSError:
            self._ignored_errors += 1
            return
        for name in filter(is_swept, names):
            try:
                child = self._look_at(os.path.join(root, name), partial=is_partial(name))
            except OSError:
                self._ignored_errors += 1
                continue
            if child is not None:
                yield child

    def _look_at(self, path: str, *, partial: bool) -> _Child | None:
        """Weigh a child, or reap it. Raises the OSError of any of its calls."""
        changed_ns = os.stat(path).st_mtime_ns
        if partial and not self._is_young(changed_ns):
            if not self._dry_run:
                remove_tree(path, self._order)
            self._reaped += 1
            return None
        return _Child(
            path=path, last_use_ns=_sentinel_time(path, changed_ns), size_bytes=_size_bytes(path)
        )

    def _is_young(self, last_use_ns: int) -> bool:
        return self._now_ns - last_use_ns < self._min_age_ns

    def _try_to_remove(self, path: str) -> None:
        if self._dry_run:
            return
        try:
            remove_tree(path, self._order)
        except OSError:
            self._ignored_errors += 1


def _directories(root: str) -> list[str]:
    with os.scandir(root) as children:
        return sorted(child.name for child in children if child.is_dir(follow_symlinks=False))


def _sentinel_time(path: str, otherwise_ns: int) -> int:
    try:
        return os.stat(os.path.join(path, SENTINEL)).st_mtime_ns
    except FileNotFoundError:
        return otherwise_ns


def _size_bytes(path: str) -> int:
    total = 0
    for name in sorted(os.listdir(path)):
        below = os.path.join(path, name)
        status = os.lstat(below)
        total += _size_bytes(below) if stat.S_ISDIR(status.st_mode) else status.st_size
    return total
