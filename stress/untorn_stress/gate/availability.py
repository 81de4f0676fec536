"""Whether a gate can be had here: the real thing is tried once, in a process that ends at once.

    probe() -> Availability     ok, or which step failed, why, and what to do about it

The trial installs the gate's own filter in a child, receives one held call, reads and writes the
child's memory, takes a descriptor from it, gives it one, and lets a call go on.

Rule 1: what can be tried is tried; the kernel's version is only quoted to explain a refusal.
Rule 2: the asking process is never gated and never forks: it may be a test runner with threads. A
        fresh interpreter, ``python -m untorn_stress.gate.availability --child``, forks the target.
Rule 3: the probe never hangs and leaves nothing: every wait has a deadline, and the target dies
        with the interpreter that forked it.

Sources: seccomp(2), seccomp_unotify(2), pidfd_getfd(2), ptrace(2) on /proc/sys/kernel/yama.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import functools
import json
import os
import platform
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, NoReturn

from untorn_stress.gate import abi
from untorn_stress.gate.filter import Prepared, program
from untorn_stress.gate.listener import Listener, Notification
from untorn_stress.gate.target import Target, TargetGoneError
from untorn_stress.grain import Grain

PROBE_DEADLINE_S: Final = 30.0
_STEP_DEADLINE_S: Final = 10.0
_PATH: Final = b"/untorn-probe/no such file"
_CHILD_MODULE: Final = "untorn_stress.gate.availability"


class Hurdle(StrEnum):
    """What is tried, in this order."""

    MACHINE = "machine"
    TRIAL = "trial"
    INSTALL = "install"
    RECEIVE = "receive"
    MEMORY = "memory"
    DESCRIPTOR = "descriptor"
    ADDFD = "addfd"
    CONTINUE = "continue"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What the trial met: the step that failed (None: none did) and its errno's name or words."""

    failed: Hurdle | None = None
    error: str = ""
    has_sync_wake_up: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Availability:
    """Whether there can be a gate: ``reason`` is one sentence, ``advice`` what to do if not."""

    ok: bool
    reason: str
    advice: str = ""
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The same, of plain values."""
        return {**asdict(self), "notes": list(self.notes)}


@functools.cache
def probe() -> Availability:
    """Try the gate; asked once a process. Takes about a tenth of a second, at most the deadline."""
    machine = abi.machine()
    if not sys.platform.startswith("linux") or machine is None:
        outcome = Outcome(
            failed=Hurdle.MACHINE, error=f"{platform.system()} on {platform.machine()}"
        )
    else:
        outcome = _ask_fresh_interpreter()
    return explain(outcome, release=platform.release(), machine=machine)


def _ask_fresh_interpreter() -> Outcome:
    ours = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (ours, os.environ.get("PYTHONPATH"))))
    try:
        done = subprocess.run(
            [sys.executable, "-m", _CHILD_MODULE, "--child"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": path},
            timeout=PROBE_DEADLINE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Outcome(failed=Hurdle.TRIAL, error=str(error))
    try:
        said = json.loads(done.stdout)
    except ValueError:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        last = lines[-1] if lines else "nothing on stderr"
        return Outcome(failed=Hurdle.TRIAL, error=f"exit code {done.returncode}, {last}")
    failed = Hurdle(said["failed"]) if said["failed"] else None
    return Outcome(failed=failed, error=said["error"], has_sync_wake_up=said["has_sync_wake_up"])


# --- in words ------------------------------------------------------------------------------------

_NEEDS: Final = {  # the Linux that has it first
    Hurdle.INSTALL: "5.19",
    Hurdle.RECEIVE: "5.0",
    Hurdle.DESCRIPTOR: "5.6",
    Hurdle.ADDFD: "5.14",
    Hurdle.CONTINUE: "5.5",
}
_SENTENCES: Final = {
    Hurdle.MACHINE: "there is no gate for {error}",
    Hurdle.TRIAL: "the gate could not be tried ({error})",
    Hurdle.INSTALL: "a seccomp filter with a listener is refused ({error})",
    Hurdle.RECEIVE: "no held call arrived at the listener ({error})",
    Hurdle.MEMORY: "the memory of a held process cannot be read and written ({error})",
    Hurdle.DESCRIPTOR: "pidfd_getfd(2) on a held process is refused ({error})",
    Hurdle.ADDFD: "a held call cannot be answered with a descriptor ({error})",
    Hurdle.CONTINUE: "a held call cannot be let go on ({error})",
}
_UNCONFINED: Final = (
    "a filter above this process forbids it: run the container with "
    "`--security-opt seccomp=unconfined`, or with a profile that allows {call}"
)
_PTRACE: Final = (
    "the harness must be allowed to trace its own descendants: /proc/sys/kernel/yama/ptrace_scope "
    "must be 0 or 1, and a container may need `--cap-add=SYS_PTRACE` or an AppArmor profile that "
    "allows ptrace"
)
_CALLS: Final = {
    Hurdle.INSTALL: "seccomp(2) with SECCOMP_FILTER_FLAG_NEW_LISTENER",
    Hurdle.RECEIVE: "the ioctls of a seccomp listener",
    Hurdle.DESCRIPTOR: "pidfd_getfd(2)",
    Hurdle.ADDFD: "the ioctl SECCOMP_IOCTL_NOTIF_ADDFD",
    Hurdle.CONTINUE: "the ioctl SECCOMP_IOCTL_NOTIF_SEND",
}


def explain(outcome: Outcome, *, release: str, machine: abi.Machine | None) -> Availability:
    """Say in words what the trial met on a kernel of that release. Pure."""
    notes = tuple(_notes(outcome, machine))
    if outcome.failed is None:
        return Availability(ok=True, reason="the gate works here", notes=notes)
    reason = _SENTENCES[outcome.failed].format(error=outcome.error)
    advice = _advise(outcome.failed, outcome.error, release)
    return Availability(ok=False, reason=reason, advice=advice, notes=notes)


def _advise(failed: Hurdle, error: str, release: str) -> str:
    needs = _NEEDS.get(failed)
    if failed is Hurdle.MACHINE:
        return f"run it on Linux; the machines in the table are {', '.join(abi.MACHINES)}"
    if failed is Hurdle.TRIAL:
        return "start `python -m untorn_stress.gate.availability` by hand and see what it says"
    if needs is not None and _is_older(release, needs):
        return f"Linux {needs} or newer is needed, this is {release}"
    if failed is Hurdle.INSTALL and error == "EBUSY":
        return (
            "a filter above this process has a listener already, and there can be but one: do not "
            "run it below another gate; in LXD or Incus set `security.syscalls.intercept.*` of the "
            "container to false"
        )
    if failed is Hurdle.INSTALL and error in ("EINVAL", "ENOSYS"):
        return (
            f"this kernel says that it is {release}, yet it knows no such filter: it lacks "
            "CONFIG_SECCOMP_FILTER, or it is emulated (gVisor, WSL 1), or "
            + _UNCONFINED.format(call=_CALLS[failed])
        )
    if failed is Hurdle.MEMORY or (failed is Hurdle.DESCRIPTOR and error in ("EPERM", "EACCES")):
        also = ""
        if failed is Hurdle.DESCRIPTOR:
            also = "; or " + _UNCONFINED.format(call=_CALLS[failed])
        return _PTRACE + also
    return _UNCONFINED.format(call=_CALLS[failed])


def _is_older(release: str, needed: str) -> bool:
    return _version(release) < _version(needed)


def _version(release: str) -> tuple[int, int]:
    """The first two numbers of a release such as ``6.8.0-45-generic``."""
    major, _, rest = release.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return int(major) if major.isdecimal() else 0, int(digits or 0)


def _notes(outcome: Outcome, machine: abi.Machine | None) -> Iterator[str]:
    if machine is not None and not machine.tested:
        yield f"{machine.name}: the table of system calls was never run on this machine"
    if outcome.failed is None and not outcome.has_sync_wake_up:
        yield "no SYNC_WAKE_UP (Linux 6.6): each step costs a wake-up across processors, about 4x"


# --- the trial, in an interpreter of its own ------------------------------------------------------


class _StepFailedError(Exception):
    def __init__(self, step: Hurdle, error: str) -> None:
        super().__init__(f"{step}: {error}")
        self.outcome = Outcome(failed=step, error=error)


@contextlib.contextmanager
def _trying(step: Hurdle) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, str(error))
        raise _StepFailedError(step, name) from error
    except TargetGoneError as error:
        raise _StepFailedError(step, "no such process in /proc") from error


def try_gate() -> Outcome:
    """Make the trial. Forks, so the calling process must have one thread."""
    machine = abi.machine()
    assert machine is not None, "asked before"
    gate = Prepared(program(machine, Grain.METADATA))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _be_target(gate, ours, theirs, parent)
    try:
        with ours, theirs:
            theirs.close()
            return _hold(pid, ours)
    except _StepFailedError as failure:
        return failure.outcome
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _be_target(gate: Prepared, ours: socket.socket, theirs: socket.socket, parent: int) -> NoReturn:
    """Meet the gate and make two held calls: one to be answered, one to be let go.

    Nothing but these calls, and no cleaning up: each call of ours may be held.
    """
    try:
        abi.prctl(abi.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        ours.close()
        path = ctypes.create_string_buffer(_PATH)
        try:
            listener = gate.install()
        except OSError as error:
            theirs.send(errno.errorcode.get(error.errno or 0, str(error)).encode())
            os._exit(0)
        socket.send_fds(theirs, [b"listener"], [listener])
        fd = abi.syscall(abi.NUMBER["openat"], -100, path, os.O_RDONLY | os.O_CLOEXEC, 0)
        mask = abi.syscall(abi.NUMBER["umask"], 0o077)
        theirs.send(json.dumps([fd, mask]).encode())
        signal.pause()
    finally:
        os._exit(1)


def _hold(pid: int, ours: socket.socket) -> Outcome:
    """Be the target's supervisor for two calls. Raises _StepFailedError."""
    ours.settimeout(_STEP_DEADLINE_S)
    with _trying(Hurdle.INSTALL):
        said, descriptors, _, _ = socket.recv_fds(ours, 4096, 1)
    if not descriptors:
        raise _StepFailedError(Hurdle.INSTALL, said.decode() or "the target ended")
    listener = Listener(descriptors[0])
    opened = _receive(listener, "openat")
    with _trying(Hurdle.MEMORY), contextlib.closing(Target(pid)) as target:
        address = opened.arguments[1]
        if target.text(address) != _PATH:
            raise _StepFailedError(Hurdle.MEMORY, "it holds something else")
        target.write(address, _PATH)
        with _trying(Hurdle.DESCRIPTOR), target.descriptor(0) as stdin:
            is_ours = os.path.samestat(os.fstat(stdin), os.fstat(0))
        if not is_ours:
            raise _StepFailedError(Hurdle.DESCRIPTOR, "it is another one")
    with _trying(Hurdle.ADDFD), open(os.devnull, "rb") as null:
        given = listener.answer_descriptor(opened.id, null.fileno(), cloexec=True)
    masked = _receive(listener, "umask")
    with _trying(Hurdle.CONTINUE):
        listener.let_go(masked.id)
        answered = json.loads(ours.recv(4096) or b"[]")
    if answered != [given, _umask()]:
        raise _StepFailedError(Hurdle.CONTINUE, f"the target was answered {answered}")
    return Outcome(has_sync_wake_up=_has_sync_wake_up(listener))


def _receive(listener: Listener, name: str) -> Notification:
    """Wait for that call; whatever else the interpreter asks for is let go."""
    poller = select.poll()
    poller.register(listener.fd, select.POLLIN)
    while True:
        with _trying(Hurdle.RECEIVE):
            if not poller.poll(_STEP_DEADLINE_S * 1000):
                raise TimeoutError(errno.ETIMEDOUT, "nothing was held")
            found = listener.receive()
        if found is None:
            raise _StepFailedError(Hurdle.RECEIVE, "the target ended")
        if found.number == abi.NUMBER[name]:
            return found
        with _trying(Hurdle.CONTINUE):
            listener.let_go(found.id)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _has_sync_wake_up(listener: Listener) -> bool:
    try:
        fcntl.ioctl(listener.fd, abi.NOTIF_SET_FLAGS, abi.NOTIF_FD_SYNC_WAKE_UP)
    except OSError:
        return False
    return True


def main(arguments: list[str], write: Callable[[str], object]) -> int:
    """Say as JSON what the probe says, or (``--child``) what the trial met."""
    said = asdict(try_gate()) if arguments == ["--child"] else probe().as_json()
    write(json.dumps(said) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdout.write))
