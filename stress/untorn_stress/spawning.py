"""How a process comes to be: what is asked of it later, and the plain way to start one.

Who starts processes takes a ``Spawn``, so that a warm one may be forked where that is the same.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from typing import Protocol


class Process(Protocol):
    """A process that somebody started for us, as ``subprocess.Popen`` has it."""

    returncode: int | None

    @property
    def pid(self) -> int:
        """The process id; nobody else's before the process is buried."""

    def poll(self) -> int | None:
        """How it ended, None while it runs; buries it."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, and bury it. Raises subprocess.TimeoutExpired."""

    def send_signal(self, sig: int) -> None:
        """Signal it, unless it has ended."""

    def kill(self) -> None:
        """SIGKILL it, unless it has ended."""


class Spawn(Protocol):
    """Starts a program in a session of its own."""

    def __call__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        streams: tuple[int, int, int],
        pass_fds: Sequence[int] = (),
    ) -> Process:
        """Start it with that environment and these standard streams; other descriptors on request.

        Raises OSError.
        """


def anew(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    streams: tuple[int, int, int],
    pass_fds: Sequence[int] = (),
    uid: int | None = None,
    gid: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a new process, as ``uid`` and ``gid`` (no supplementary groups) where they are given.

    Raises OSError.
    """
    stdin, stdout, stderr = streams
    return subprocess.Popen(
        list(command),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=dict(env),
        pass_fds=pass_fds,
        start_new_session=True,
        user=uid,
        group=gid,
        extra_groups=None if uid is None else [],
    )
