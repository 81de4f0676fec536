"""What every operation stands on: the settings, the clock, the counters and the root just now.

The root is opened at need, and anew when its path has come to lead elsewhere, so a root that is
deleted and recreated costs misses and nothing else. A root that cannot be used means "uncached":
counted, and warned about once a process and cause.
"""

from __future__ import annotations

import errno
import os
import threading
import weakref

from untorn import events
from untorn.config import Clock, Settings
from untorn.errors import RootRefusedError
from untorn.events import Counters
from untorn.lookup import Check, Policy
from untorn.root import Root, open_root


class Access:
    """One cache object's way to its root; thread-safe."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.counters = Counters()
        # Why there is no root just now; one publish that fails is counted, and nothing else.
        self.degraded = "" if settings.root is not None else "switched off"
        self.root_error: int | None = None  # the errno that keeps the root from being opened
        self._root: Root | None = None
        self._lock = threading.Lock()
        self._verified: set[tuple[str, int]] = set()
        _all.add(self)

    def renew_lock(self) -> None:
        """In a forked child: a lock that another thread held at the fork would stay held."""
        self._lock = threading.Lock()

    def root(self) -> Root | None:
        """The open root that the path leads to; None means uncached, and `degraded` says why.

        Raises RootRefusedError if somebody chose this root and it is not safe.
        """
        if self.settings.root is None:
            return None
        root = self._root
        if root is not None and root.is_current():
            return root
        with self._lock:
            root = self._root
            if root is None or not root.is_current():
                root = self._root = self._open(self.settings.root)
            return root

    def complete_root(self) -> Root | None:
        """`root`, with whatever was removed below it made again: for all that writes there."""
        root = self.root()
        if root is None or root.is_complete():
            return root
        return self.reopen()

    def reopen(self) -> Root | None:
        """The root with whatever was removed below it made again."""
        with self._lock:
            self._root = None
        return self.root()

    def forget_root(self) -> Root | None:
        """Let go of the root, and return it."""
        with self._lock:
            root, self._root = self._root, None
            return root

    def _open(self, path: str) -> Root | None:
        try:
            if self.settings.within is not None:
                # Made and checked as every root is: whoever may write there could swap this one.
                open_root(self.settings.within)
            root = open_root(path)
        except RootRefusedError as error:
            if self.settings.explicit:
                raise
            self.degraded, self.root_error = str(error), None
            self.degrade("root-refused", self.degraded)
            return None
        except OSError as error:
            self.degraded, self.root_error = f"{path}: {error.strerror}", error.errno
            self.degrade(errno_name(error), self.degraded)
            return None
        self.degraded, self.root_error = "", None
        if not root.trust.locks:
            events.warn_once(
                "untrusted",
                f"{path} is on {root.trust.file_system} ({root.trust.reason}): "
                "entries are shared, but collect and repair are off",
            )
        return root

    def degrade(self, cause: str, detail: str) -> None:
        """Count and warn that something goes uncached; the caller delivers all the same."""
        self.counters.add(f"degraded.{cause}")
        events.warn_once(f"degraded.{cause}", f"the cache is not used: {detail}")

    def policy(self) -> Policy:
        """How lookups check, at this moment."""
        return Policy(
            now_s=self.clock(),
            resolution_s=self.settings.recency_resolution_s,
            check=Check.DIGESTS if self.settings.verify else Check.MANIFEST,
            verified=self._verified,
        )


_all: weakref.WeakSet[Access] = weakref.WeakSet()


def _renew_locks() -> None:
    for access in list(_all):
        access.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


def errno_name(error: OSError) -> str:
    """ENOSPC and its like; "EIO" for an OSError without a number."""
    return errno.errorcode.get(error.errno or errno.EIO, str(error.errno))
