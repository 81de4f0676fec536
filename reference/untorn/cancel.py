"""Ending the work of several threads at once, the decoders that they wait for included.

Ctrl-C reaches the main thread alone, and decoders run in process groups of their own. Whoever is
told to stop therefore says so here: running decoders are killed, which wakes the threads that read
their progress; those that wait for others are woken; and nobody starts another decoder.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator


class Cancelled(Exception):  # noqa: N818 - no error of anybody, and never seen by callers
    """This piece of work was told to stop; not an UntornError, so no step takes it for its own."""


class Cancel:
    """What the threads of one piece of work watch; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._running: set[subprocess.Popen[bytes]] = set()

    def set(self) -> None:
        """Tell everybody to stop, and kill every decoder that runs; a second call does it again."""
        with self._lock:
            self._stop.set()
            for process in self._running:
                kill_group(process)

    def require_going(self) -> None:
        """Cancelled if we were told to stop."""
        if self._stop.is_set():
            raise Cancelled

    def pause(self, seconds: float) -> None:
        """Sleep; Cancelled as soon as we are told to stop."""
        if self._stop.wait(seconds):
            raise Cancelled

    @contextlib.contextmanager
    def ends(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """A block in which `process` is killed if we are told to stop, which raises Cancelled.

        The process must not be reaped inside of the block.
        """
        with self._lock:
            self.require_going()
            self._running.add(process)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(process)
        self.require_going()


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for a process that leads a group, and all of the group; nothing if it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
