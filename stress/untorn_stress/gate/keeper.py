"""The keeper: an ungated process that starts gated ones, adopts their orphans and ends them all.

    python -m untorn_stress.gate.keeper FD       starts programs; FD is a socket to the supervisor
    python -m untorn_conformance.zygote ...      the same, and forks warm Python backends

Rule 1: the keeper itself is never gated: a process below a gate can have no gate of its own.
Rule 2: when the supervisor is gone, its end of the socket closes, and the keeper kills all that was
        ever started below it, orphans included (it is their subreaper), and ends.
Rule 3: when the keeper is gone, the kernel kills its workers (PR_SET_PDEATHSIG).
Rule 4: a worker is one thread without children when it meets the gate: the filter reaches nobody
        else. One that got company from its backend's ``open`` says so and ends.
Rule 5: a worker that is never to be held meets no gate. It answers over its own socket, and is
        asked again there once it has said that it is as new.

One request is one packet: JSON, with four descriptors: stdin, stdout, stderr and a socket for the
report; who meets no gate has only the last two. The worker reports over its own socket.

Sources: prctl(2), unix(7), seccomp_unotify(2).
"""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import select
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, Final, NoReturn, Protocol

from untorn_stress.gate import abi
from untorn_stress.gate.filter import Prepared, program
from untorn_stress.grain import Grain

PACKET_BYTES: Final = 64 * 1024
RENEW: Final = b"renew\n"
"""What a hosted worker is asked between two runs, and its answers."""
RENEWED: Final = b"renewed"
NOT_RENEWED: Final = b"not renewed"
_DESCRIPTORS: Final = 4
_EXIT_FAILED: Final = 70


class Host(Protocol):
    """A Python backend that lives in the worker itself."""

    @property
    def renews(self) -> bool:
        """Whether it understands RENEW: to be as new without a new process."""

    def renew(self) -> bool:
        """Be as new; False where it cannot. Only asked of one that ``renews``."""

    def prepare(self, lines: Sequence[bytes]) -> list[bytes]:
        """Answer requests before there is a gate."""

    def serve(self, requests: BinaryIO, answers: BinaryIO) -> None:
        """Answer requests until there are no more."""


def main(control: socket.socket, make_host: Callable[[], Host] | None = None) -> None:
    """Start workers as asked until the supervisor hangs up; then end all of them."""
    abi.prctl(abi.PR_SET_CHILD_SUBREAPER, 1)
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    machine = abi.machine()
    assert machine is not None, "the supervisor probed the gate before it started us"
    gates = {grain: Prepared(program(machine, grain)) for grain in Grain}
    gc.collect()
    gc.freeze()  # what was loaded stays shared: a collection in a fork would copy every page
    poller = select.poll()
    poller.register(control, select.POLLIN)
    poller.register(wake_read, select.POLLIN)
    keeper = os.getpid()
    try:
        while True:
            ready = {fd for fd, _ in poller.poll()}
            if wake_read in ready:
                os.read(wake_read, 4096)
                _reap(control)
            if control.fileno() in ready and not _start(control, keeper, gates, make_host):
                return
    finally:
        _end_all()


def _start(
    control: socket.socket,
    keeper: int,
    gates: Mapping[Grain, Prepared],
    make_host: Callable[[], Host] | None,
) -> bool:
    """Take one request and fork for it; False when the supervisor has hung up."""
    try:
        packet, descriptors, _, _ = socket.recv_fds(control, PACKET_BYTES, _DESCRIPTORS)
    except ConnectionResetError:
        return False
    if not packet:
        return False
    if os.fork() == 0:
        _become_worker(json.loads(packet), descriptors, control, keeper, gates, make_host)
    for fd in descriptors:
        os.close(fd)
    return True


def _become_worker(
    order: dict[str, Any],
    descriptors: Sequence[int],
    control: socket.socket,
    keeper: int,
    gates: Mapping[Grain, Prepared],
    make_host: Callable[[], Host] | None,
) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        abi.prctl(abi.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:
            os._exit(_EXIT_FAILED)
        control.close()
        *streams, stderr, report_fd = descriptors
        gate = gates[Grain(order["grain"])]
        report = socket.socket(fileno=report_fd)
        if order["argv"]:
            _run_program(order, (*streams, stderr), report, gate)
        assert make_host is not None, "this keeper hosts no backend"
        os.dup2(stderr, 2)
        os.close(stderr)
        os.environ.update(order["env"])
        tempfile.tempdir = None  # found anew, where this worker has its own
        host = make_host()
        abi.prctl(abi.PR_SET_CHILD_SUBREAPER, 1)  # so that a daemon of the backend shows as ours
        if order["is_ungated"]:
            _answer_ungated(order["setup"], report, host)
        answers = _prepared(host, order["setup"], report)
        abi.prctl(abi.PR_SET_CHILD_SUBREAPER, 0)
        requests, replies = os.fdopen(streams[0], "rb"), os.fdopen(streams[1], "wb")
        _meet_the_gate(report, gate, answers, renews=host.renews)
        host.serve(requests, replies)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(_EXIT_FAILED)


def _prepared(host: Host, setup: Sequence[str], report: socket.socket) -> list[str]:
    """What it answers to its setup; who got company by it says so and ends."""
    answers = host.prepare([line.encode() for line in setup])
    if _has_company():
        report.send(json.dumps({"crowded": True}).encode())
        _end_all()
        os._exit(_EXIT_FAILED)
    return [answer.decode() for answer in answers]


def _answer_ungated(setup: Sequence[str], report: socket.socket, host: Host) -> NoReturn:
    """Answer, and again as often as it is asked, if it is as new each time."""
    told = [os.pidfd_open(os.getpid())]  # by which it is known though it ends by itself
    while True:
        answers = _prepared(host, setup, report)
        said = {"pid": os.getpid(), "answers": answers, "renews": host.renews}
        socket.send_fds(report, [json.dumps(said).encode()], told)
        while told:
            os.close(told.pop())
        if host.renews:
            if not host.renew():
                os._exit(0)
            if _has_company():
                _end_all()
                os._exit(_EXIT_FAILED)
            report.send(RENEWED)
        packet = report.recv(PACKET_BYTES)  # who is not asked again is ended while it waits
        if not packet:
            os._exit(0)
        setup = json.loads(packet)


def _has_company() -> bool:
    """Whether we have another thread, or a child."""
    if os.listdir("/proc/self/task") != [str(os.getpid())]:
        return True
    with open("/proc/thread-self/children", "rb") as children:
        return bool(children.read())


def _run_program(
    order: dict[str, Any],
    streams: Sequence[int],
    report: socket.socket,
    gate: Prepared,
) -> None:
    for target, fd in enumerate(streams):
        os.dup2(fd, target)
        os.close(fd)
    environment = {**os.environ, **order["env"]}
    _meet_the_gate(report, gate, [], renews=False)
    os.execvpe(order["argv"][0], order["argv"], environment)  # noqa: S606 (no shell is wanted)


def _meet_the_gate(
    report: socket.socket, gate: Prepared, answers: Sequence[str], *, renews: bool
) -> None:
    """Install the filter and hand its listener over; from here on the supervisor must answer."""
    said = {"pid": os.getpid(), "answers": answers, "renews": renews}
    try:
        listener = gate.install()
    except OSError as error:
        said["refused"] = errno.errorcode.get(error.errno or 0, str(error))
        report.send(json.dumps(said).encode())
        os._exit(_EXIT_FAILED)
    socket.send_fds(report, [json.dumps(said).encode()], [listener])
    os.close(listener)
    report.close()


def _reap(control: socket.socket) -> None:
    """Collect the dead and tell the supervisor, who may want to know how they died."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        with contextlib.suppress(OSError):  # a full or closed socket: it does not want to know
            control.send(json.dumps({"ended": pid, "status": status}).encode(), socket.MSG_DONTWAIT)


def _end_all() -> None:
    """Kill everything below us until nothing is left; the killed hand their children to us."""
    while True:
        for pid in _children():
            with contextlib.suppress(ProcessLookupError):  # it ended by itself
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", "rb") as stat:
                    parent = int(stat.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue  # it ended while we looked
            if parent == os.getpid():
                found.append(int(name))
    return found


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
