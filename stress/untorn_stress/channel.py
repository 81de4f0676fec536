"""Lines to and from a child process, with deadlines and without ever blocking on the child.

A child that is stopped reads nothing, so a write may have to wait; a child that dies may leave its
end of the pipe to a grandchild, so end-of-file alone does not tell that it died. One selector
therefore watches three things: room to write, something to read, and the process itself
(pidfd_open(2)).
"""

from __future__ import annotations

import os
import selectors
import time
from typing import Final

from untorn_stress.spawning import Process

MAX_LINE_BYTES: Final = 64 * 1024 * 1024
"""A longer line is no message: payloads travel as files."""

_CHUNK_BYTES: Final = 1024 * 1024
_QUOTED_BYTES: Final = 200


class ChannelClosedError(Exception):
    """No further line will come. ``rest`` is what came after the last newline."""

    def __init__(self, rest: bytes) -> None:
        super().__init__(rest)
        self.rest = rest


class OverlongLineError(Exception):
    """The child wrote more than MAX_LINE_BYTES without a newline; ``start`` quotes it."""

    def __init__(self, start: bytes) -> None:
        super().__init__(start)
        self.start = start


class Channel:
    """The two pipes of one child, by our ends. Not for use by several threads."""

    def __init__(self, process: Process, *, to_child: int, from_child: int) -> None:
        self._process = process
        self._stdin = os.fdopen(to_child, "wb", buffering=0)
        self._stdout = os.fdopen(from_child, "rb", buffering=0)
        os.set_blocking(self._stdin.fileno(), False)
        os.set_blocking(self._stdout.fileno(), False)
        self._pidfd = os.pidfd_open(process.pid)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stdout, selectors.EVENT_READ)
        self._selector.register(self._pidfd, selectors.EVENT_READ)
        self._outgoing = bytearray()
        self._incoming = bytearray()
        self._ended = False
        self._closed = False

    def write_line(self, line: bytes) -> None:
        """Send the line as far as there is room; ``read_line`` sends the rest while it waits."""
        assert line.endswith(b"\n")
        self._outgoing += line
        self._flush()

    def read_line(self, end_s: float) -> bytes:
        """Return the next line without its newline; ``end_s`` is an instant of time.monotonic().

        Raises TimeoutError, ChannelClosedError, OverlongLineError.
        """
        searched = 0
        while (newline := self._incoming.find(b"\n", searched)) < 0:
            searched = len(self._incoming)
            if searched > MAX_LINE_BYTES:
                raise OverlongLineError(bytes(self._incoming[:_QUOTED_BYTES]))
            if self._ended:
                raise ChannelClosedError(bytes(self._incoming))
            self._wait(end_s)
        line = bytes(self._incoming[:newline])
        del self._incoming[: newline + 1]
        return line

    def wait_for_exit(self, end_s: float) -> bool:
        """Tell whether the process ended before the instant; what it still writes is kept."""
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._pidfd, selectors.EVENT_READ)
            # A child that waits for room in its stdout would never end if nobody read.
            waiting.register(self._stdout, selectors.EVENT_READ)
            while self._process.poll() is None:
                if time.monotonic() >= end_s:
                    return False
                waiting.select(max(0.0, end_s - time.monotonic()))
                self._read_chunk()
                if self._ended and self._stdout in waiting.get_map():
                    waiting.unregister(self._stdout)
        return True

    def end_input(self) -> None:
        """Close the child's stdin: a well-behaved worker exits. What was not sent is dropped."""
        if self._stdin.closed:
            return
        self._outgoing.clear()
        self._watch_room(False)
        self._stdin.close()

    def close(self) -> None:
        """Close every descriptor. The process must have been reaped or be reaped by the caller."""
        if self._closed:
            return
        self._closed = True
        self._selector.close()
        self._outgoing.clear()
        self._stdin.close()
        self._stdout.close()
        os.close(self._pidfd)

    def _wait(self, end_s: float) -> None:
        events = {
            key.fileobj for key, _ in self._selector.select(max(0.0, end_s - time.monotonic()))
        }
        if not events:
            raise TimeoutError
        if self._stdin in events:
            self._flush()
        if self._pidfd in events:
            # All that the process wrote is in the pipe by now; a grandchild may hold it open.
            while self._read_chunk() and len(self._incoming) <= MAX_LINE_BYTES:
                continue
            self._ended = True
        elif self._stdout in events:
            self._read_chunk()

    def _flush(self) -> None:
        waits_for_room = False
        try:
            while self._outgoing:
                del self._outgoing[: os.write(self._stdin.fileno(), self._outgoing)]
        except BlockingIOError:
            waits_for_room = True
        except BrokenPipeError:
            # The child is gone or reads no more; the reading side tells, after its last words.
            self._outgoing.clear()
        self._watch_room(waits_for_room)

    def _watch_room(self, wanted: bool) -> None:
        watched = self._stdin in self._selector.get_map()
        if wanted and not watched:
            self._selector.register(self._stdin, selectors.EVENT_WRITE)
        elif watched and not wanted:
            self._selector.unregister(self._stdin)

    def _read_chunk(self) -> bool:
        """Read what is there, at most one chunk; False when there is nothing (yet, or ever)."""
        try:
            chunk = os.read(self._stdout.fileno(), _CHUNK_BYTES)
        except BlockingIOError:
            return False
        self._ended = self._ended or not chunk
        self._incoming += chunk
        return bool(chunk)
