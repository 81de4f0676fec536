"""A warm interpreter, forked for each process that a test wants: what all load is loaded once.

A test asks for ``python -m MODULE ARGUMENTS`` in a directory and an environment of its own.
Hundreds do, and a new interpreter spends most of its time on the same imports. So each
process of the tests keeps one that has made them, and a run is a fork of it. What a start must show
is seen in a ``fresh`` one.

Rule 1: a fork is what the command would be: a process with its own directory, arguments,
        environment and module path, which ends as an interpreter does.
Rule 2: loaded beforehand is no plugin of pytest's (it rewrites those when it loads them), nothing
        that a test writes, and nothing that starts threads.
Rule 3: the interpreter serves one run at a time, and ends when who started it is gone.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import resource
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

LOADED: Final = (
    *("pytest", "execnet", "psutil", "rich_click", "untorn.cli", "untorn.export", "untorn.render"),
    *("untorn_conformance.cli_baseline", "untorn_conformance.cli_campaign"),
    *("untorn_conformance.cli_explain", "untorn_conformance.cli_explore"),
    *("untorn_conformance.cli_report", "untorn_conformance.cli_storm"),
    *("untorn_conformance.conclusion", "untorn_conformance.doctor", "untorn_conformance.drawings"),
    *("untorn_conformance.explaining", "untorn_conformance.exploring", "untorn_conformance.known"),
    *("untorn_conformance.replaying", "untorn_conformance.storming", "untorn_conformance.trial"),
    *("untorn_conformance.turns", "untorn_conformance.verify", "untorn_reports.compare"),
    *("untorn_reports.render", "untorn_reports.storms.comparing", "untorn_reports.storms.page"),
)
"""What a run of pytest or a command loads; and of pytest itself, what it calls its own plugins."""

_START: Final = """
import socket, sys
number, standard = int(sys.argv[1]), sys.path[1:]
sys.path[1:1] = sys.argv[2:]
from untorn_conformance.meta import forked
forked.main(socket.socket(fileno=number), standard)
"""
"""The program of the warm interpreter: what is on its path by itself is on that of every run."""

_REPORT_BYTES: Final = 4096
_ENVIRONMENT: Final = dict(os.environ)
_PATHS: Final = tuple(filter(None, sys.path))
"""As they are before any test: what one has changed must reach its own runs alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """A process that is over: how, what it wrote, and the processor time of all it waited for."""

    returncode: int
    stdout: str
    stderr: str
    core_s: float


def run(
    module: str,
    *arguments: str,
    cwd: Path,
    env: Mapping[str, str],
    limit_s: float,
    launcher: Sequence[str] = (),
    fresh: bool = False,
) -> Ended:
    """Run ``python -m module`` with these arguments to its end.

    It is a new interpreter if ``fresh``, or if a ``launcher`` is to become it. Raises
    subprocess.TimeoutExpired when it takes longer than ``limit_s``; it is killed then.
    """
    order: dict[str, Any] = {
        "command": [*launcher, sys.executable, "-m", module, *arguments],
        "module": module,
        "arguments": arguments,
        "cwd": os.fspath(cwd),
        "env": dict(env),
    }
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        files = (stdout.fileno(), stderr.fileno())
        code, core_s = (_started if fresh or launcher else _forked)(order, files, limit_s)
        texts = []
        for file in (stdout, stderr):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return Ended(returncode=code, stdout=texts[0], stderr=texts[1], core_s=core_s)


def _started(order: Mapping[str, Any], files: tuple[int, int], limit_s: float) -> tuple[int, float]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        order["command"],
        cwd=order["cwd"],
        env=order["env"],
        stdin=subprocess.DEVNULL,
        stdout=files[0],
        stderr=files[1],
        timeout=limit_s,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.returncode, took_s


def _forked(order: Mapping[str, Any], files: tuple[int, int], limit_s: float) -> tuple[int, float]:
    control = _interpreter()
    with tempfile.TemporaryFile() as packet:
        packet.write(json.dumps(order).encode())
        packet.flush()
        socket.send_fds(control, [b"run"], [packet.fileno(), *files])
    pid = int(control.recv(_REPORT_BYTES))
    control.settimeout(limit_s)
    try:
        told = json.loads(control.recv(_REPORT_BYTES))
    except TimeoutError as error:
        os.kill(pid, signal.SIGKILL)
        control.settimeout(None)
        control.recv(_REPORT_BYTES)
        raise subprocess.TimeoutExpired(order["command"], limit_s) from error
    finally:
        control.settimeout(None)
    return told["code"], told["core_s"]


@functools.cache
def _interpreter() -> socket.socket:
    """The end of the conversation with this process' warm interpreter, which starts it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, str(theirs.fileno()), *_PATHS],
            env={name: value for name, value in _ENVIRONMENT.items() if name != "PYTHONPATH"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    atexit.register(_end, ours, process)
    return ours


def _end(control: socket.socket, process: subprocess.Popen[bytes]) -> None:
    """Hang up, and wait until the interpreter has gone for that."""
    control.close()
    process.wait()


# --- the interpreter ------------------------------------------------------------------------------


def main(control: socket.socket, standard: Sequence[str]) -> None:
    """Fork for each order; a fork returns from here as what it was ordered to be, and runs that."""
    from _pytest.config import default_plugins  # noqa: PLC0415 (tests need none of it)

    for name in (*LOADED, *(f"_pytest.{each}" for each in default_plugins)):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a fork would copy every page
    while True:
        said, descriptors, _, _ = socket.recv_fds(control, _REPORT_BYTES, 3)
        if not said:
            return
        pid = os.fork()
        if pid == 0:
            control.close()
            _become(descriptors, standard)
            return
        control.send(str(pid).encode())
        for each in descriptors:
            os.close(each)
        _, status, used = os.wait4(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        told = {"code": code, "core_s": used.ru_utime + used.ru_stime}
        with contextlib.suppress(BrokenPipeError):  # nobody waits any more
            control.send(json.dumps(told).encode())


def _become(descriptors: Sequence[int], standard: Sequence[str]) -> None:
    """Take on what a new interpreter would be given, and run the module as it would."""
    with open(descriptors[0], "rb") as packet:
        packet.seek(0)
        order = json.loads(packet.read())
    for number, each in enumerate(descriptors[1:], start=1):
        os.dup2(each, number)
        os.close(each)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    paths = order["env"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [order["cwd"], *filter(None, paths), *standard]
    sys.argv[:] = ["-m", *order["arguments"]]
    sys.orig_argv[:] = order["command"]
    importlib.invalidate_caches()
    runpy.run_module(order["module"], run_name="__main__", alter_sys=True)
