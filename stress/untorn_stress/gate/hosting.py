"""The supervisor's side of a keeper: start gated workers, and end all of them for certain.

Rule 1: a keeper is a plain child process in a session of its own: a Ctrl-C at the terminal does not
        reach it, the closing of its socket does.
Rule 2: a keeper that was killed has ended nothing: all that it started carries a mark in its
        environment, and is ended by that mark.
Rule 3: a worker that does not report in time, or whose gate was refused, is no worker: the error
        says which, with what it wrote to stderr.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from untorn_stress import supervise
from untorn_stress.gate.keeper import PACKET_BYTES
from untorn_stress.gate.ungated import UngatedWorker
from untorn_stress.gate.worker import GatedWorker
from untorn_stress.grain import Grain
from untorn_stress.spawning import Spawn, anew

REPORT_DEADLINE_S: Final = 30.0
_LAST_WORDS_BYTES: Final = 2000
_MOST_REMEMBERED: Final = 1000
FOREIGN_KEEPER: Final = (sys.executable, "-m", "untorn_stress.gate.keeper")
"""The keeper of programs: the socket's descriptor number is appended."""


class HostingError(Exception):
    """A worker could not be started, or did not say so in time."""


class HostingTimeoutError(HostingError):
    """A worker did not say in time that it is ready."""


class CrowdedError(HostingError):
    """A hosted worker got threads or children from its setup, whom the gate would not reach."""


class GateRefusedError(HostingError):
    """The kernel, or a filter above us, does not let a gate be installed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """A worker to start.

    ``argv`` is a program (empty: the keeper's own backend), ``setup`` the requests (lines) that a
    hosted backend answers before there is a gate, ``chance`` what its randomness is drawn from.
    It has to be ready after ``deadline_s`` seconds.
    """

    letter: str
    argv: Sequence[str] = ()
    env: Mapping[str, str] | None = None
    setup: Sequence[str] = ()
    grain: Grain = Grain.METADATA
    chance: str = ""
    deadline_s: float = REPORT_DEADLINE_S


class Keeper:
    """A keeper process. A context manager; closing it ends everything below it."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        stderr: Path,
        spawn: Spawn = anew,
    ) -> None:
        self._mark = secrets.token_hex(16)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        self._ended: dict[int, int] = {}
        self.stderr_path = stderr
        with theirs, open(os.devnull, "rb") as null, open(stderr, "ab") as log:
            self._stderr = os.dup(log.fileno())
            self._process = spawn(
                [*command, str(theirs.fileno())],
                env={**env, supervise.MARK_VARIABLE: self._mark, "PYTHONHASHSEED": "0"},
                streams=(null.fileno(), log.fileno(), log.fileno()),
                pass_fds=[theirs.fileno()],
            )

    @property
    def pid(self) -> int:
        """The keeper's process id."""
        return self._process.pid

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, order: Order) -> tuple[GatedWorker, list[bytes]]:
        """Start a worker; it is let pass until it is told to begin.

        Returns it and what it answered to its setup. Raises HostingError, and as such
        HostingTimeoutError, GateRefusedError and CrowdedError.
        """
        self._take_news()
        with contextlib.ExitStack() as ours:
            stdin_read, stdin_write = os.pipe()
            stdout_read, stdout_write = os.pipe()
            report, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.callback(report.close)
            descriptors = [stdin_read, stdout_write, self._stderr, theirs.fileno()]
            try:
                self._ask(_packet(order, is_ungated=False), descriptors)
                theirs.close()  # so that a worker that dies is an end of file and no silence
                said, (listener,) = self._report(report, order.deadline_s)
            except BaseException:
                os.close(stdin_write)
                os.close(stdout_read)
                raise
            finally:
                os.close(stdin_read)
                os.close(stdout_write)
                theirs.close()
        streams = (stdin_write, stdout_read)
        worker = GatedWorker(order.letter, said["pid"], listener, streams, order.chance)
        worker.renews = said["renews"]
        return worker, [answer.encode() for answer in said["answers"]]

    def ask(self, order: Order) -> tuple[UngatedWorker, list[bytes]]:
        """Start a hosted worker that meets no gate; it, and what it answered to its setup.

        Raises HostingError, and as such HostingTimeoutError and CrowdedError.
        """
        self._take_news()
        report, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                self._ask(_packet(order, is_ungated=True), [self._stderr, theirs.fileno()])
            said, (pidfd,) = self._report(report, order.deadline_s)
            worker = UngatedWorker(said["pid"], pidfd, report, renews=said["renews"])
        except BaseException:
            report.close()
            raise
        return worker, [answer.encode() for answer in said["answers"]]

    def ask_again(self, worker: UngatedWorker, order: Order) -> list[bytes]:
        """What one that is as new answers to the setup of an order. Raises as ``ask`` does."""
        self._take_news()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # that it died is told
            worker.report.send(json.dumps(list(order.setup)).encode())
        said, _ = self._report(worker.report, order.deadline_s)
        return [answer.encode() for answer in said["answers"]]

    def _ask(self, packet: bytes, descriptors: Sequence[int]) -> None:
        try:
            socket.send_fds(self._control, [packet], descriptors)
        except (BrokenPipeError, ConnectionResetError):
            self.check()
            raise

    def check(self) -> None:
        """Raise HostingError when the keeper has ended: then so have its workers, by no fault."""
        poller = select.poll()
        poller.register(self._control, 0)
        if not poller.poll(0):
            return
        code = self._process.wait(REPORT_DEADLINE_S)
        how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
        raise HostingError(f"the keeper has ended ({how}){self.last_words()}")

    def _report(self, report: socket.socket, deadline_s: float) -> tuple[dict[str, Any], list[int]]:
        report.settimeout(deadline_s)
        try:
            packet, descriptors, _, _ = socket.recv_fds(report, PACKET_BYTES, 1)
        except TimeoutError as error:
            message = f"no worker in {deadline_s} s{self.last_words()}"
            raise HostingTimeoutError(message) from error
        except ConnectionResetError:
            packet = b""
        if not packet:
            self.check()
            raise HostingError(f"the worker died at its start{self.last_words()}")
        said = json.loads(packet)
        if "crowded" in said:
            raise CrowdedError("the backend starts threads or processes when it is opened")
        if "refused" in said:
            raise GateRefusedError(f"the gate was refused: {said['refused']}")
        return said, descriptors

    def last_words(self) -> str:
        """What was last written to stderr, as the end of a message."""
        words = self.stderr_path.read_text(errors="replace")[-_LAST_WORDS_BYTES:].strip()
        return f"; stderr ends with:\n{words}" if words else ""

    def wait_status(self, pid: int) -> int:
        """How a worker that is over ended, as waitpid(2) says it. Raises HostingError."""
        self._control.settimeout(REPORT_DEADLINE_S)
        try:
            while pid not in self._ended:
                self._note(self._control.recv(PACKET_BYTES))
        except OSError as error:
            raise HostingError(f"nobody told how {pid} ended{self.last_words()}") from error
        finally:
            self._control.settimeout(None)
        return self._ended[pid]

    def _take_news(self) -> None:
        """Read what the keeper told of the dead; a full socket would drop the next of it."""
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while packet := self._control.recv(PACKET_BYTES, socket.MSG_DONTWAIT):
                self._note(packet)

    def _note(self, packet: bytes) -> None:
        if not packet:
            raise ConnectionResetError("the keeper is gone")
        news = json.loads(packet)
        if len(self._ended) > _MOST_REMEMBERED:
            self._ended.clear()
        self._ended[news["ended"]] = news["status"]

    def close(self) -> None:
        """Hang up, and wait until the keeper has ended all that it started, and itself; once."""
        self._control.close()
        try:
            self._process.wait(REPORT_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
        finally:
            stderr, self._stderr = self._stderr, -1
            if stderr >= 0:  # a second close might hit what got the number since
                os.close(stderr)
        if self._process.returncode != 0:
            supervise.kill_all(lambda: supervise.marked(self._mark))


def _packet(order: Order, *, is_ungated: bool) -> bytes:
    packet = {
        "argv": list(order.argv),
        "env": dict(order.env or {}),
        "setup": list(order.setup),
        "grain": order.grain.value,
        "is_ungated": is_ungated,
    }
    return json.dumps(packet).encode()
