"""One backend process: asked over stdin and stdout, and stopped, resumed or killed at will.

Rule 1: a worker is never forked from us: it inherits no lock, no channel and no thread state. It
        is spawned, or forked from a warm process that has none of these (``warm_start``).
Rule 2: every wait has a deadline. A deadline that passed says nothing about the operation, and the
        answer may still be received later.
Rule 3: a death is *asked* when we sent the SIGKILL, else *unasked*; either way the pending
        operation may or may not have happened.
Rule 4: when a worker is closed, nothing that it ever started is left.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from untorn_conformance import wire
from untorn_conformance.backend import Verb
from untorn_conformance.errors import BackendError, ErrorCode, ProtocolError

from untorn_stress import supervise
from untorn_stress.channel import Channel, ChannelClosedError, OverlongLineError
from untorn_stress.spawning import Process, Spawn, anew

DEADLINE_S: Final = 60.0
"""The deadline of a call that names none: long, since a passed deadline proves nothing."""

EOF_GRACE_S: Final = 10.0
"""How long a worker may take to exit after the end of its input."""

_LAST_WORDS_BYTES: Final = 2000


class WorkerDiedError(BackendError):
    """The worker ended before it answered; ``asked`` is True when the harness killed it."""

    def __init__(self, message: str, *, asked: bool) -> None:
        super().__init__(ErrorCode.DIED, message)
        self.asked = asked


@dataclass(frozen=True, kw_only=True, slots=True)
class Pending:
    """A request that was sent and whose answer has not been received."""

    id: int
    verb: Verb


class Worker:
    """A backend process and the conversation with it. Not for use by several threads.

    As a context manager it closes itself.
    """

    def __init__(self, process: Process, channel: Channel, *, mark: str, stderr_path: Path) -> None:
        self._process = process
        self._channel = channel
        self._mark = mark
        self._pending: dict[int, Pending] = {}
        self._arrived: dict[int, object] = {}
        self._last_id = 0
        self._killed = False
        self._stopped = False
        self._closed = False
        self.stderr_path = stderr_path

    @classmethod
    def start(
        cls,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        stderr_path: str | os.PathLike[str],
        spawn: Spawn = anew,
    ) -> Self:
        """Start ``command`` in its own session, with ``env`` and a mark as its whole environment.

        Raises OSError when it cannot be started.
        """
        mark = secrets.token_hex(16)
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            stdin, to_worker = _pipe(theirs, ours)
            from_worker, stdout = _pipe(ours, theirs)
            stderr = theirs.enter_context(open(stderr_path, "ab")).fileno()
            marked = {**env, supervise.MARK_VARIABLE: mark}
            process = spawn(command, env=marked, streams=(stdin, stdout, stderr))
            ours.pop_all()
        channel = Channel(process, to_child=to_worker, from_child=from_worker)
        return cls(process, channel, mark=mark, stderr_path=Path(stderr_path))

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def channel(self) -> Channel:
        """Its lines themselves, for who must look at them before they are believed."""
        return self._channel

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended yet; a stopped one is alive."""
        return self._process.poll() is None

    @property
    def is_idle(self) -> bool:
        """Whether it could answer a request at once: it runs, and every request was answered.

        An answer that came but was not taken in yet counts as missing.
        """
        is_up = self.is_alive and not self._stopped and not self._closed
        return is_up and self._pending.keys() <= self._arrived.keys()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- asking ----------------------------------------------------------------------------------

    def call(self, verb: Verb | str, *, deadline_s: float = DEADLINE_S, **args: object) -> Any:
        """Send a request and wait for its answer: a dataclass of ``backend``, or None.

        Raises BackendError: what the backend answered, or died, deadline, protocol.
        """
        return self.receive(self.send(verb, **args), deadline_s=deadline_s)

    def send(self, verb: Verb | str, **args: object) -> Pending:
        """Send a request and do not wait, so that several workers can be at work at once."""
        pending = Pending(id=self._last_id + 1, verb=Verb(verb))
        line = wire.encode_request(pending.id, pending.verb, args)
        self._last_id = pending.id
        self._pending[pending.id] = pending
        self._channel.write_line(line)
        return pending

    def receive(self, pending: Pending, *, deadline_s: float = DEADLINE_S) -> Any:
        """Wait for one answer; others that come meanwhile are kept for their own ``receive``.

        Raises BackendError like ``call``. After a deadline the same answer may be received later.
        """
        if pending.id not in self._pending:
            raise ValueError(f"the answer of {pending} was received before, or is another worker's")
        end_s = time.monotonic() + deadline_s
        while pending.id not in self._arrived:
            self._take_in(self._read_line(pending, deadline_s, end_s))
        del self._pending[pending.id]
        value = self._arrived.pop(pending.id)
        if isinstance(value, BackendError):
            raise value
        return value

    def _read_line(self, pending: Pending, deadline_s: float, end_s: float) -> bytes:
        try:
            return self._channel.read_line(end_s)
        except TimeoutError as error:
            message = f"no answer of {pending.verb} in {deadline_s} s"
            raise BackendError(ErrorCode.DEADLINE, message) from error
        except OverlongLineError as error:
            message = f"a line that does not end; it starts with {error.start!r}"
            raise BackendError(ErrorCode.PROTOCOL, message) from error
        except ChannelClosedError as error:
            raise self._explain_end(pending, error.rest) from error

    def _take_in(self, line: bytes) -> None:
        """Keep one answer for whom it is meant."""
        try:
            request_id = wire.decode_answer(line).id
            asked = self._pending.get(request_id)
            if asked is None or request_id in self._arrived:
                raise ProtocolError(
                    f"an answer to request {request_id}, which waits for none",
                    hint="each request is answered once, with its own id",
                    line=line.decode(errors="replace"),
                )
            self._arrived[request_id] = wire.decode_answer(line, verb=asked.verb).value
        except ProtocolError as error:
            raise BackendError(ErrorCode.PROTOCOL, str(error)) from error

    def _explain_end(self, pending: Pending, rest: bytes) -> BackendError:
        """Tell a death from a worker that lives on but has closed its stdout."""
        if not self._channel.wait_for_exit(time.monotonic() + EOF_GRACE_S):
            message = f"the worker closed its stdout before it answered {pending.verb}"
            return BackendError(ErrorCode.PROTOCOL, message)
        how = _describe_exit(self._process.returncode)
        blame = "killed by the harness" if self._killed else f"unasked: {how}"
        half = f"; half a line before: {rest[-200:]!r}" if rest else ""
        words = "" if self._killed else self._last_words()
        message = f"the worker died in {pending.verb}, {blame}{half}{words}"
        return WorkerDiedError(message, asked=self._killed)

    def _last_words(self) -> str:
        words = self.stderr()[-_LAST_WORDS_BYTES:].strip()
        return f"; its stderr ends with:\n{words}" if words else ""

    def stderr(self) -> str:
        """Return what the worker has written to stderr so far."""
        return self.stderr_path.read_text(errors="replace")

    # --- doing things to it ----------------------------------------------------------------------

    def stop(self) -> None:
        """Stop the worker's process, not its children; returns when /proc shows it stopped.

        Raises WorkerDiedError when there is none to stop.
        """
        self._require_alive("stopped")
        supervise.stop(self.pid)
        self._stopped = True
        self._require_alive("stopped")

    def resume(self) -> None:
        """Let a stopped worker go on; returns when /proc shows that it does."""
        self._require_alive("resumed")
        supervise.resume(self.pid)
        self._stopped = False

    def kill(self) -> None:
        """SIGKILL the worker's process only, and reap it: its children live on as orphans."""
        if self.is_alive:
            self._killed = True
            self._process.kill()
        self._reap()

    def started(self) -> list[int]:
        """The process ids of what the worker started and that runs, while it lives itself."""
        return [each.pid for each in supervise.descendants(self.pid, self._mark)]

    def left_behind(self) -> list[int]:
        """The process ids of what the worker started and that runs on, after its own death."""
        return [each.pid for each in supervise.still_running(supervise.marked(self._mark))]

    def kill_tree(self) -> int:
        """SIGKILL the worker and all it started, in whatever session; returns how many there were.

        The worker dies first, so that it can start nothing more.
        """
        # A living parent shows its children; the mark finds those that have lost theirs.
        was_alive = self.is_alive
        children = supervise.descendants(self.pid, self._mark) if was_alive else []
        self.kill()
        others = supervise.kill_all(
            lambda: {*supervise.still_running(children), *supervise.marked(self._mark)}
        )
        return others + was_alive

    def close(self, grace_s: float = EOF_GRACE_S) -> bool:
        """End the worker and everything that it started.

        An idle worker is let to exit by itself at the end of its input; returns whether it did.
        """
        if self._closed:
            return False
        can_leave = self.is_idle
        self._closed = True
        left_by_itself = False
        try:
            if can_leave:
                self._channel.end_input()
                left_by_itself = self._channel.wait_for_exit(time.monotonic() + grace_s)
        finally:
            self.kill_tree()
            self._channel.close()
        return left_by_itself

    def _require_alive(self, what: str) -> None:
        if not self.is_alive:
            how = _describe_exit(self._process.returncode)
            message = f"a worker that has died cannot be {what}: {how}{self._last_words()}"
            raise WorkerDiedError(message, asked=self._killed)

    def _reap(self) -> None:
        try:
            self._process.wait(supervise.SIGNAL_DEADLINE_S)
        except subprocess.TimeoutExpired as error:
            message = f"process {self.pid} survived its SIGKILL"
            raise supervise.SignalIneffectiveError(message) from error


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[int, int]:
    """The two ends of a new pipe, each closed by its own stack."""
    read, write = os.pipe()
    reader.callback(os.close, read)
    writer.callback(os.close, write)
    return read, write


def _describe_exit(returncode: int | None) -> str:
    assert returncode is not None, "it has ended"
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return f"signal {signal.Signals(-returncode).name}"
    except ValueError:
        return f"signal {-returncode}"
