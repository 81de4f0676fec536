"""Several processes that start the same job at once."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import MappingProxyType
from typing import Any

from untorn_stress import supervise

_MARK = "UNTORN_BENCH_CROWD"
_CHILD = "untorn_conformance.bench.child"
_PATIENCE_S = 300.0


class ChildError(Exception):
    """A measuring process ended without an answer."""


def run(
    job: str,
    *arguments: str,
    processes: int = 1,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> list[Any]:
    """The answers of `processes` processes that do `job` (see child.JOBS) at the same time.

    `environment` is added to theirs. Raises ChildError if one of them dies; all are gone at the
    end, whatever ends it, and so is every decoder that one of them started.
    """
    command = [sys.executable, "-m", _CHILD, job, *arguments]
    mark = secrets.token_hex(8)
    with ExitStack() as stack:
        stack.callback(supervise.kill_all, lambda: supervise.marked(mark, _MARK))  # called last
        marked = {**environment, _MARK: mark}
        crowd = [_start(command, stack, marked) for _ in range(processes)]
        for one in crowd:
            assert one.stdout is not None
            if one.stdout.readline() != "ready\n":
                raise ChildError(f"a process for {job} did not start")
        for one in crowd:
            assert one.stdin is not None
            one.stdin.write("go\n")
            one.stdin.flush()
        return [_answer(one, job) for one in crowd]


def _start(
    command: Sequence[str], stack: ExitStack, environment: Mapping[str, str]
) -> subprocess.Popen[str]:
    """One process, in a session of its own: Ctrl-C reaches us alone, and we end it."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            **environment,
        },
        start_new_session=True,
    )
    stack.enter_context(process)
    stack.callback(process.kill)  # called before the wait that Popen's own exit is
    return process


def _answer(process: subprocess.Popen[str], job: str) -> Any:
    text, _ = process.communicate(timeout=_PATIENCE_S)
    if process.returncode != 0 or not text:
        raise ChildError(f"a process for {job} ended with exit code {process.returncode}")
    return json.loads(text)
