"""What operators see: counters, and a structured log that warns once a process and cause.

Counters are exact in the process that counts. They are added to `ctl/counters` when a cache is
closed and after each collect, so the totals of `untorn stats` lack what a killed process had not
handed in yet.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import weakref
from collections import Counter
from collections.abc import Mapping

from untorn import layout, syscalls

logger = logging.getLogger("untorn")

_PAGE_BYTES = 16384  # one pwrite replaces the whole file, so no reader sees half of it
_MAX_COUNTERS = 200
_MAX_NAME = 40

_warned: set[str] = set()
_warned_lock = threading.Lock()


def begin_anew() -> None:
    """Be another process, as a forked child is: it warns for itself and counts its own."""
    _forget_warnings()
    for counters in list(_all_counters):
        counters.start_anew()


def _forget_warnings() -> None:
    global _warned_lock  # noqa: PLW0603 - a lock that another thread held at the fork stays held
    _warned_lock = threading.Lock()
    _warned.clear()


def warn_once(cause: str, message: str, **fields: object) -> None:
    """One warning a process and cause, with its fields in the record's `untorn` attribute."""
    with _warned_lock:
        if cause in _warned:
            return
        _warned.add(cause)
    logger.warning(message, extra={"untorn": {"event": "warning", "cause": cause, **fields}})


def note(event: str, **fields: object) -> None:
    """One line of the structured log, at level INFO."""
    if logger.isEnabledFor(logging.INFO):
        text = " ".join(f"{name}={value}" for name, value in fields.items())
        logger.info("%s %s", event, text, extra={"untorn": {"event": event, **fields}})


class Counters:
    """Named totals of one cache object, or of one piece of its work; thread-safe.

    What a piece of work counts is counted by its `parent` as well, who alone hands it in. So each
    of many that work at once knows what it did itself, which a difference of totals would not say.
    """

    def __init__(self, parent: Counters | None = None) -> None:
        self._parent = parent
        self._lock = threading.Lock()
        self._total: Counter[str] = Counter()
        self._handed_in: Counter[str] = Counter()
        _all_counters.add(self)

    def start_anew(self) -> None:
        """In a forked child: what was counted so far is the parent's to hand in."""
        self._lock = threading.Lock()
        self._total = Counter()
        self._handed_in = Counter()

    def add(self, name: str, amount: int = 1) -> None:
        """Count `amount` more of `name`."""
        with self._lock:
            self._total[name] += amount
        if self._parent is not None:
            self._parent.add(name, amount)

    def totals(self) -> dict[str, int]:
        """What this object has counted, by name."""
        with self._lock:
            return dict(self._total)

    def hand_in(self, ctl_fd: int) -> None:
        """Add what is new since the last time to `counters` below `ctl_fd` (raises OSError)."""
        if self._parent is not None:
            self._parent.hand_in(ctl_fd)
            return
        with self._lock:
            delta = self._total - self._handed_in
            if not delta:
                return
            with syscalls.opened(
                layout.COUNTERS, os.O_RDWR | os.O_CREAT | syscalls.FILE_FLAGS, dir_fd=ctl_fd
            ) as fd:
                # Many processes end at the same moment, and each has something to add.
                if not syscalls.lock_byte_soon(fd, 0):
                    return  # a stopped process is at it: ours go in the next time
                merged = Counter(_read(fd))
                merged.update(delta)
                os.pwrite(fd, _page(merged), 0)
            self._handed_in.update(delta)


_all_counters: weakref.WeakSet[Counters] = weakref.WeakSet()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=begin_anew)


def handed_in(ctl_fd: int) -> dict[str, int]:
    """The totals of every process that used this root; empty where none is readable."""
    try:
        with syscalls.opened(
            layout.COUNTERS, os.O_RDONLY | syscalls.FILE_FLAGS, dir_fd=ctl_fd
        ) as fd:
            return _read(fd)
    except FileNotFoundError:
        return {}


def _read(fd: int) -> dict[str, int]:
    try:
        values = json.loads(os.pread(fd, _PAGE_BYTES, 0) or b"{}")
    except (ValueError, RecursionError):
        warn_once("counters", "the counters of earlier processes were unreadable: starting anew")
        return {}
    if not isinstance(values, Mapping):
        return {}
    return {name: value for name, value in values.items() if _is_count(name, value)}


def _is_count(name: str, value: object) -> bool:
    """Whether this is a counter of ours: bounded, so that all of them fit the page."""
    return len(name) <= _MAX_NAME and isinstance(value, int) and 0 <= value < 1 << 62


def _page(values: Mapping[str, int]) -> bytes:
    kept = dict(sorted(values.items())[:_MAX_COUNTERS])
    text = json.dumps(kept, separators=(",", ":")).encode("ascii")
    assert len(text) < _PAGE_BYTES, "counter names are short and few"
    return text.ljust(_PAGE_BYTES - 1) + b"\n"
