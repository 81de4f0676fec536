"""Processes forked from a warm one, which has loaded the program's code once: our side of it.

    warm process   loads the code, says whether a fork is as good as a new process, forks on request
    process        a fork: its own session, streams, environment, mark; runs the program's ``main``

Rule 1: a fork differs from a new process in nothing that the program could have looked at: the
        environment may differ from the warm process' own in ``VOLATILE`` alone, and in none of
        these that was asked for while the code was loaded.
Rule 2: the dead are kept until we bury them, as a parent would: no process id is another's before.
Rule 3: an exchange that was cut short is the last: the warm process is hung up on.
Rule 4: a warm process that has ended is not used again; what it started lives on.

The other side is ``untorn_conformance.warm``. Sources: unix(7), pidfd_open(2), fork(2).
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
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, Final

from untorn_stress import supervise

PACKET_BYTES: Final = 64 * 1024
MOST_DESCRIPTORS: Final = 8
LOADED_DEADLINE_S: Final = 30.0
FORKED_DEADLINE_S: Final = 30.0
UNTOLD: Final = 255
"""The exit code of a process whose warm process ended before it could tell."""

VOLATILE: Final = frozenset({"TMPDIR", "HOME", "PYTEST_CURRENT_TEST", supervise.MARK_VARIABLE})
"""The variables that differ from process to process of a run."""


class NotWarmError(Exception):
    """No process can be forked: a new one has to be started. The message says why."""


class WarmStart:
    """A warm process; ``fork`` starts others. Not for use by several threads.

    ``command`` starts it, with the number of its socket appended. Raises NotWarmError, also where
    a fork would not be as good as a new process; then nothing is left of it.
    """

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        with theirs, tempfile.TemporaryDirectory(prefix="untorn-warm-") as scratch:
            self._env = _our_own(env, scratch)
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._env,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
            theirs.close()  # so that its death is an end of file and no silence
            said = self._hear(LOADED_DEADLINE_S)
        if "refused" in said:
            self.close()
            raise NotWarmError(said["refused"])
        self._asked = VOLATILE.intersection(said["asked"])

    def serves(self, env: Mapping[str, str]) -> bool:
        """Whether a fork with this environment is as good as a new process."""
        names = self._env.keys() | env.keys()
        different = {name for name in names if self._env.get(name) != env.get(name)}
        return not self.is_over and different <= VOLATILE - self._asked

    def fork(
        self,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        streams: tuple[int, int, int],
        pass_fds: Sequence[int] = (),
    ) -> Forked:
        """Start the program with these arguments, as ``spawning.Spawn`` does.

        Raises NotWarmError.
        """
        assert self.serves(env), "it would see another environment than a new process"
        order = {
            "arguments": list(arguments),
            "env": {name: env.get(name) for name in sorted(VOLATILE)},
            "directory": os.getcwd(),
            "umask": _umask(),
            "targets": [0, 1, 2, *pass_fds],
        }
        said = self._ask(order, [*streams, *pass_fds])
        return Forked(said["pid"], self)

    def bury(self, pid: int) -> int:
        """The exit code of a process that has ended, as ``Popen.returncode``; once."""
        try:
            return os.waitstatus_to_exitcode(self._ask({"bury": pid})["status"])
        except NotWarmError:
            return UNTOLD

    def _ask(self, order: dict[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        try:
            socket.send_fds(self._control, [json.dumps(order).encode()], descriptors)
        except OSError as error:
            self.close()
            raise NotWarmError(f"the warm process cannot be asked: {error}") from error
        except BaseException:
            self.close()
            raise
        return self._hear(FORKED_DEADLINE_S)

    def _hear(self, deadline_s: float) -> dict[str, Any]:
        try:
            self._control.settimeout(deadline_s)
            packet = self._control.recv(PACKET_BYTES)
        except OSError as error:
            self.close()
            raise NotWarmError(f"the warm process does not answer: {error}") from error
        except BaseException:
            self.close()
            raise
        if not packet:
            self.close()
            raise NotWarmError("the warm process has ended")
        said: dict[str, Any] = json.loads(packet)
        return said

    @property
    def is_over(self) -> bool:
        """Whether it starts nothing more."""
        return self._control.fileno() < 0

    def close(self) -> None:
        """End the warm process; what it started lives on, without anybody to bury it but init."""
        self._control.close()
        try:
            self._process.wait(FORKED_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Forked:
    """A process that a warm one has forked; its methods are those of ``spawning.Process``."""

    def __init__(self, pid: int, warm: WarmStart) -> None:
        self.returncode: int | None = None
        self._pid = pid
        self._pidfd = os.pidfd_open(pid)  # it is not buried yet, whatever became of it
        self._warm = warm

    @property
    def pid(self) -> int:
        """The process id; nobody else's before the process is buried."""
        return self._pid

    def poll(self) -> int | None:
        """How it ended, None while it runs; buries it."""
        if self.returncode is None and self._has_ended(0.0):
            self._bury()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and bury it. Raises subprocess.TimeoutExpired."""
        if self.returncode is None and not self._has_ended(timeout):
            assert timeout is not None, "a wait without a timeout does not pass one"
            raise subprocess.TimeoutExpired([f"process {self._pid}"], timeout)
        return self._bury()

    def send_signal(self, sig: int) -> None:
        """Signal it, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, sig)

    def kill(self) -> None:
        """SIGKILL it, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def _has_ended(self, timeout_s: float | None) -> bool:
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        return bool(poller.poll(None if timeout_s is None else timeout_s * 1000))

    def _bury(self) -> int:
        if self.returncode is None:
            self.returncode = self._warm.bury(self._pid)
            os.close(self._pidfd)
        return self.returncode


def _our_own(env: Mapping[str, str], scratch: str) -> dict[str, str]:
    """The environment with what is nobody's but ours where processes differ."""
    ours = {name: os.environ[name] for name in VOLATILE & os.environ.keys()}
    ours |= {"TMPDIR": scratch, supervise.MARK_VARIABLE: secrets.token_hex(16)}
    return {name: value for name, value in env.items() if name not in VOLATILE} | ours


def _umask() -> int:
    """Which bits are taken away from what we make; it cannot be read without being set."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
