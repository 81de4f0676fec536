"""The nursery: an ungated process that starts a storm's workers, adopts orphans, and ends them all.

    python -m untorn_stress.storm.nursery FD [SCRATCH ...]    starts programs
    python -m untorn_conformance.nursery M:FACTORY FD ...     forks warm Python backends

Rule 1: when the driver is gone its end of the socket closes: the nursery kills all that was ever
        started below it, orphans included (it is their subreaper), removes the scratch directories
        that only a living driver would have removed, and ends. The history of a round that was
        under way goes to the run directory first.
Rule 2: when the nursery is gone, the kernel kills its workers (PR_SET_PDEATHSIG, set after the user
        is taken on: a change of user clears it).
Rule 3: all that dies is reaped and told, with its wait status.

One request is one packet of JSON: ``{"start": name, "argv": [], "env": {}, "uid": null, "gid":
null}`` with three descriptors (stdin, stdout, stderr), ``{"clear": n}`` (kill all that lives), or
``{"below": n}`` (who lives). Told are ``ready``, ``started``, ``ended``, ``cleared``, ``below``.

Sources: prctl(2), unix(7).
"""

from __future__ import annotations

import contextlib
import gc
import glob
import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, Final, NoReturn, Protocol

from untorn_stress.gate import abi

PACKET_BYTES: Final = 64 * 1024
KEEP_VARIABLE: Final = "UNTORN_STORM_KEEPS"
"""Names the directory where histories go that the driver did not come to judge."""

_DESCRIPTORS: Final = 3
_EXIT_FAILED: Final = 70


class Guest(Protocol):
    """A Python backend that lives in the worker itself."""

    def serve(self, requests: BinaryIO, answers: BinaryIO) -> None:
        """Answer requests until there are no more."""


def main(
    control: socket.socket, scratch: Sequence[str], make_guest: Callable[[], Guest] | None = None
) -> None:
    """Start workers as asked until the driver hangs up; then end all of them."""
    abi.prctl(abi.PR_SET_CHILD_SUBREAPER, 1)
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()  # what was loaded stays shared: a collection in a fork would copy every page
    poller = select.poll()
    poller.register(control, select.POLLIN)
    poller.register(wake_read, select.POLLIN)
    nursery = _Nursery(control, make_guest)
    try:
        nursery.tell({"ready": os.getpid()})
        while True:
            ready = {fd for fd, _ in poller.poll()}
            if wake_read in ready:
                os.read(wake_read, 4096)
                nursery.reap()
            if control.fileno() in ready and not nursery.take_request():
                return
    finally:
        nursery.end_all()
        _keep_histories(scratch)
        for folder in scratch:
            shutil.rmtree(folder, ignore_errors=True)  # the driver's own removal may go first


class _Nursery:
    def __init__(
        self, control: socket.socket, make_guest: Callable[[], Guest] | None = None
    ) -> None:
        self._control = control
        self._make_guest = make_guest
        self._pid = os.getpid()

    def tell(self, said: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # nobody wants to know
            self._control.send(json.dumps(said).encode())

    def take_request(self) -> bool:
        """Take one request; False when the driver has hung up."""
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._control, PACKET_BYTES, _DESCRIPTORS)
        except ConnectionResetError:
            return False
        if not packet:
            return False
        order = json.loads(packet)
        if "clear" in order:
            self.end_all()
            self.tell({"cleared": order["clear"]})
        elif "below" in order:
            self.reap()
            self.tell({"below": order["below"], "pids": children_of(self._pid)})
        else:
            self._start(order, descriptors)
        return True

    def _start(self, order: dict[str, Any], descriptors: Sequence[int]) -> None:
        pid = os.fork()
        if pid == 0:
            self._become_worker(order, descriptors)
        self.tell({"started": order["start"], "pid": pid})
        for fd in descriptors:
            os.close(fd)

    def _become_worker(self, order: dict[str, Any], descriptors: Sequence[int]) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            self._control.close()
            if order["uid"] is not None:
                _become(order["uid"], order["gid"])
            abi.prctl(abi.PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != self._pid:
                os._exit(_EXIT_FAILED)
            os.environ.update(order["env"])
            tempfile.tempdir = None  # found anew, where this worker has its own
            stdin, stdout, stderr = descriptors
            os.dup2(stderr, 2)
            os.close(stderr)
            if order["argv"]:
                _run(order["argv"], stdin, stdout)
            assert self._make_guest is not None, "this nursery hosts no backend"
            # A handler and not SIG_IGN: what is ignored stays so in programs that are started.
            signal.signal(signal.SIGINT, lambda _number, _frame: None)
            self._make_guest().serve(os.fdopen(stdin, "rb"), os.fdopen(stdout, "wb"))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(_EXIT_FAILED)

    def reap(self) -> None:
        """Collect the dead and tell how they died."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.tell({"ended": pid, "status": status})

    def end_all(self) -> None:
        """Kill everything below us until nothing is left; the killed hand their children to us."""
        while True:
            for pid in children_of(self._pid):
                with contextlib.suppress(ProcessLookupError):  # it ended by itself
                    os.kill(pid, signal.SIGKILL)
            try:
                pid, status = os.waitpid(-1, 0)
            except ChildProcessError:
                return
            self.tell({"ended": pid, "status": status})


def _keep_histories(scratch: Sequence[str]) -> None:
    """Keep the histories of rounds that the driver did not come to judge."""
    kept = os.environ.get(KEEP_VARIABLE)
    left = [path for folder in scratch for path in glob.glob(os.path.join(folder, "*.jsonl"))]
    if not kept or not left:
        return
    os.makedirs(kept, exist_ok=True)
    for path in left:
        with contextlib.suppress(FileNotFoundError):  # the driver was alive, and quicker
            shutil.copyfile(path, os.path.join(kept, f"unjudged-{os.path.basename(path)}"))


def children_of(pid: int) -> list[int]:
    """The process ids of the children of a process' main thread; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
            return [int(each) for each in children.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _become(uid: int, gid: int) -> None:
    """Become another user for good, as root alone may."""
    os.chdir("/")
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    assert os.getresuid() == (uid, uid, uid), "still privileged"


def _run(argv: Sequence[str], stdin: int, stdout: int) -> NoReturn:
    for target, fd in enumerate((stdin, stdout)):
        os.dup2(fd, target)
        os.close(fd)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execvpe(argv[0], list(argv), dict(os.environ))  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
