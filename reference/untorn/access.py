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
from contextlib import AbstractContextManager, nullcontext

from untorn import events
from untorn.config import Clock, Settings
from untorn.errors import RootRefusedError
from untorn.events import Counters
from untorn.lookup import Check, Policy
from untorn.root import Root, open_root
from untorn.stopwatch import Phase, Stopwatch


class Place:
    """Where the root is just now: one for all that work on one cache object."""

    def __init__(self, *, enabled: bool) -> None:
        # Why there is no root just now; one publish that fails is counted, and nothing else.
        self.degraded = "" if enabled else "switched off"
        self.root_error: int | None = None  # the errno that keeps the root from being opened
        self.root: Root | None = None
        self.lock = threading.Lock()
        self.verified: set[tuple[str, int]] = set()
        _all.add(self)

    def renew_lock(self) -> None:
        """In a forked child: a lock that another thread held at the fork would stay held."""
        self.lock = threading.Lock()


class Access:
    """A way to one cache object's root, and who counts what is done there; thread-safe."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        place: Place | None = None,
        counters: Counters | None = None,
        watch: Stopwatch | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.counters = counters or Counters()
        self._watch = watch
        self._place = place or Place(enabled=settings.root is not None)

    def apart(self, watch: Stopwatch) -> Access:
        """The same root, for one piece of work that is counted and timed by itself as well."""
        return Access(
            self.settings,
            self.clock,
            place=self._place,
            counters=Counters(self.counters),
            watch=watch,
        )

    def phase(self, phase: Phase) -> AbstractContextManager[None]:
        """A block whose time is that of `phase`, where somebody asked for times."""
        return nullcontext() if self._watch is None else self._watch.on(phase)

    @property
    def degraded(self) -> str:
        """Why there is no root just now; empty if there is."""
        return self._place.degraded

    @property
    def root_error(self) -> int | None:
        """The errno that keeps the root from being opened."""
        return self._place.root_error

    def root(self) -> Root | None:
        """The open root that the path leads to; None means uncached, and `degraded` says why.

        Raises RootRefusedError if somebody chose this root and it is not safe.
        """
        if self.settings.root is None:
            return None
        root = self._place.root
        if root is not None and root.is_current():
            return root
        with self._place.lock:
            root = self._place.root
            if root is None or not root.is_current():
                root = self._place.root = self._open(self.settings.root)
            return root

    def complete_root(self) -> Root | None:
        """`root`, with whatever was removed below it made again: for all that writes there."""
        root = self.root()
        if root is None or root.is_complete():
            return root
        return self.reopen()

    def reopen(self) -> Root | None:
        """The root with whatever was removed below it made again."""
        with self._place.lock:
            self._place.root = None
        return self.root()

    def forget_root(self) -> Root | None:
        """Let go of the root, and return it."""
        with self._place.lock:
            root, self._place.root = self._place.root, None
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
            self._place.degraded, self._place.root_error = str(error), None
            self.degrade("root-refused", self.degraded)
            return None
        except OSError as error:
            self._place.degraded = f"{path}: {error.strerror}"
            self._place.root_error = error.errno
            self.degrade(errno_name(error), self.degraded)
            return None
        self._place.degraded, self._place.root_error = "", None
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
            verified=self._place.verified,
        )


_all: weakref.WeakSet[Place] = weakref.WeakSet()


def _renew_locks() -> None:
    for place in list(_all):
        place.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


def errno_name(error: OSError) -> str:
    """ENOSPC and its like; "EIO" for an OSError without a number."""
    return errno.errorcode.get(error.errno or errno.EIO, str(error.errno))
