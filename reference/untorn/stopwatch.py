"""Where the time of one piece of work goes, phase by phase, though many threads are at it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum


class Phase(StrEnum):
    """What a render spends its time on."""

    RESOLVE = "resolve"  # requests checked, clips identified, keys made
    PROBE = "probe"
    LOOKUP = "lookup"
    EXTRACT = "extract"  # decoding, and waiting for others that decode the same
    SLICE = "slice"
    PUBLISH = "publish"
    COLLECT = "collect"


class Stopwatch:
    """Seconds by phase, added up over threads; thread-safe.

    A thread is in one phase at a time: a phase inside of another stops the outer one's clock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds = dict.fromkeys(Phase, 0.0)
        self._of_thread = threading.local()

    @contextmanager
    def on(self, phase: Phase) -> Iterator[None]:
        """A block whose time is that of `phase`."""
        outer = getattr(self._of_thread, "phase", None)
        self._turn_to(phase)
        try:
            yield
        finally:
            self._turn_to(outer)

    def _turn_to(self, phase: Phase | None) -> None:
        now_s = time.perf_counter()
        before: Phase | None = getattr(self._of_thread, "phase", None)
        if before is not None:
            with self._lock:
                self._seconds[before] += now_s - self._of_thread.since_s
        self._of_thread.phase, self._of_thread.since_s = phase, now_s

    def seconds(self) -> Mapping[Phase, float]:
        """Seconds by phase, of the blocks and parts of blocks that have ended."""
        with self._lock:
            return dict(self._seconds)
