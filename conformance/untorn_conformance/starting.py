"""Starting a backend's process, and asking it who it is; nothing here needs a test's framework."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from untorn_stress.worker import Worker

from untorn_conformance.backend import PROTOCOL_VERSION, Hello, Verb
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.registry import BackendSpec

RUN_VARIABLE: Final = "UNTORN_RUN"
"""The environment variable that marks every process of a run."""

HELLO_DEADLINE_S: Final = 30.0


def start_worker(
    spec: BackendSpec,
    *,
    run_token: str,
    scratch: Path,
    stderr_path: Path,
    uid: int | None = None,
    gid: int | None = None,
    inside: Sequence[str] = (),
) -> Worker:
    """Start a process of the backend whose temporary files stay in ``scratch``.

    A worker of another user has its home there too. Raises BackendError when it cannot be started.
    """
    environment = {**os.environ, **spec.environment()}
    environment |= {"TMPDIR": str(scratch), RUN_VARIABLE: run_token}
    if uid is not None:
        environment["HOME"] = str(scratch)
    started_as = (None, None) if spec.drops_privileges_itself else (uid, gid)
    try:
        return Worker.start(
            [*inside, *spec.command(uid, gid)],
            env=environment,
            stderr_path=stderr_path,
            uid=started_as[0],
            gid=started_as[1],
        )
    except OSError as error:
        message = f"backend {spec.name} cannot be started: {error}"
        raise BackendError(ErrorCode.PROTOCOL, message) from error


def say_hello(worker: Worker, *, deadline_s: float = HELLO_DEADLINE_S) -> Hello:
    """Ask a new worker who it is. Raises BackendError, also when it speaks another protocol."""
    said = worker.call(Verb.HELLO, deadline_s=deadline_s)
    assert isinstance(said, Hello)
    if said.protocol != PROTOCOL_VERSION:
        message = f"it speaks protocol {said.protocol}, this harness speaks {PROTOCOL_VERSION}"
        raise BackendError(ErrorCode.PROTOCOL, message)
    return said
