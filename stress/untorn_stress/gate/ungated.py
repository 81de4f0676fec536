"""A hosted worker that nobody holds: it answers what it is asked, and never meets the gate.

Rule 1: it hands over by what it can be ended and awaited: it may be gone once it has answered.
Rule 2: it says of its own accord that it is as new; who says nothing else, or nothing in time, is
        ended, and only that is awaited of it.
"""

from __future__ import annotations

import os
import select
import socket

from untorn_stress.gate import ending
from untorn_stress.gate.keeper import PACKET_BYTES, RENEWED


class UngatedWorker:
    """One worker. Made by the keeper's side of us from what was reported over ``report``."""

    def __init__(self, pid: int, pidfd: int, report: socket.socket, *, renews: bool) -> None:
        self.pid = pid
        self.report = report
        self._renews = renews
        self._pidfd = pidfd

    def is_as_new(self, deadline_s: float) -> bool:
        """Whether it renewed itself after its answers, and may be asked again."""
        if not self._renews:
            return False
        self.report.settimeout(deadline_s)
        try:
            return self.report.recv(PACKET_BYTES) == RENEWED
        except OSError:  # it died, or hangs
            return False

    def end(self, patience_s: float = 0.0) -> None:
        """End it, after so long if it does not end by itself. Raises StillRunningError."""
        try:
            poller = select.poll()
            poller.register(self._pidfd, select.POLLIN)
            if not poller.poll(patience_s * 1000):
                ending.end_process(self._pidfd, self.pid)
        finally:
            os.close(self._pidfd)
            self.report.close()
