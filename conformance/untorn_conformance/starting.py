"""Starting a backend's process, and asking it who it is; nothing here needs a test's framework."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from untorn_stress.spawning import Spawn, anew
from untorn_stress.worker import Worker

from untorn_conformance.backend import Hello, Verb
from untorn_conformance.contract import RESERVED
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.registry import BackendSpec

RUN_VARIABLE: Final = "UNTORN_RUN"
"""The environment variable that marks every process of a run."""

HELLO_DEADLINE_S: Final = 30.0


def in_a_line(message: str) -> str:
    """A message of several lines in one: its first, and of the rest the one that tells most."""
    first, *rest = [line.strip() for line in message.splitlines() if line.strip()]
    telling = [line for line in rest if "Error" in line] or rest
    return f"{first} {telling[-1]}" if telling else first


def start_worker(
    spec: BackendSpec,
    *,
    run_token: str,
    scratch: Path,
    stderr_path: Path,
    uid: int | None = None,
    gid: int | None = None,
    inside: Sequence[str] = (),
    home: Path | None = None,
    spawn: Spawn = anew,
) -> Worker:
    """Start a process of the backend whose temporary files stay in ``scratch``.

    A worker of another user has its home there too, unless a ``home`` is given. ``spawn`` starts
    what takes that user on by itself. Raises BackendError when it cannot be started.
    """
    environment = {**os.environ, **spec.environment()}
    environment |= {"TMPDIR": str(scratch), RUN_VARIABLE: run_token}
    if home is not None or uid is not None:
        environment["HOME"] = str(home or scratch)
    if uid is not None and not spec.drops_privileges_itself:
        spawn = partial(anew, uid=uid, gid=gid)
    try:
        return Worker.start(
            [*inside, *spec.command(uid, gid)],
            env=environment,
            stderr_path=stderr_path,
            spawn=spawn,
        )
    except (OSError, ValueError) as error:
        message = f"backend {spec.name} cannot be started: {error}"
        raise BackendError(ErrorCode.PROTOCOL, message) from error


def say_hello(worker: Worker, *, deadline_s: float = HELLO_DEADLINE_S) -> Hello:
    """Ask a new worker who it is.

    Raises BackendError, also when it speaks another protocol or declares what nobody can judge yet.
    """
    said = worker.call(Verb.HELLO, deadline_s=deadline_s)
    assert isinstance(said, Hello)
    if reserved := sorted(said.capabilities & RESERVED):
        message = f"it declares {', '.join(reserved)}, which is reserved: this release has no case"
        raise BackendError(ErrorCode.PROTOCOL, f"{message} for it; leave it out of capabilities")
    return said


def identify(spec: BackendSpec, worker: Worker, *, deadline_s: float = HELLO_DEADLINE_S) -> Hello:
    """Ask the first worker of a run who it is, and see that it is who its file says.

    Raises BackendError.
    """
    said = say_hello(worker, deadline_s=deadline_s)
    for claim, expected in spec.claims.items():
        if (told := getattr(said, claim)) != expected:
            message = f"hello says {claim} {told!r}, {spec.name} says {expected!r}; mend either"
            raise BackendError(ErrorCode.PROTOCOL, message)
    return said
