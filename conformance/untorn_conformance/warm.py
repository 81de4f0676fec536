"""A warm Python backend, forked for each process of it: ``python -m untorn_conformance.warm``.

    ... serve M:FACTORY FD                 forks workers, as of untorn_conformance.serve
    ... zygote [--preload] M:FACTORY FD    forks zygotes, as of untorn_conformance.zygote

The code is loaded once, as each of them would load it. What is forked then runs their ``main``,
which loads it again, from memory, and makes a backend of its own.

Rule 1: a fork must be as good as a new process. So code that gets a thread, a child or a descriptor
        when it is loaded, or something to do at its exit when a backend is made, is *refused*; and
        what was asked of the environment is told.
Rule 2: a fork has its mark also where others look for it, in /proc: it is written over ours.
Rule 3: what each fork would do alike, such as hashing a decoder, a backend may do once for all of
        them, in ``share()``, when there have been a few: where few are made it is not worth it.
        What it starts must have ended when it returns, or so do we: the next is a new process.
Rule 4: who has ended is buried when we are told to. When our socket is closed we end, and leave
        those that we started to themselves.

``untorn_stress.warm_start`` is the other side. Sources: proc_pid_environ(5), proc_pid_stat(5).
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import os
import resource
import signal
import socket
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from untorn_stress.gate import abi
from untorn_stress.supervise import MARK_VARIABLE
from untorn_stress.warm_start import MOST_DESCRIPTORS, PACKET_BYTES, VOLATILE

from untorn_conformance import serve, wire

_OUT_OF_THE_WAY: Final = 200  # where nobody asks to have a descriptor
_NAMES_A_HOME: Final = sysconfig  # imported here, it asks whether there is one no more
_A_FEW: Final = 4
_ENV_START, _ENV_END = 47, 48  # fields of /proc/PID/stat, from the state on


def main(arguments: Sequence[str]) -> int:
    """Load the backend's code and fork as asked until the harness hangs up; in a fork, serve."""
    parser = argparse.ArgumentParser(prog="untorn_conformance.warm", description=__doc__)
    parser.add_argument("program", choices=("serve", "zygote"))
    parser.add_argument("--preload", action="store_true", help="load what is loaded late, too")
    parser.add_argument("factory", metavar="MODULE:FACTORY")
    parser.add_argument("fd", type=int, help="the socket to the harness")
    options = parser.parse_args(arguments)
    abi.prctl(abi.PR_SET_PDEATHSIG, signal.SIGKILL)  # code that never ends loading sees no hang-up
    control = socket.socket(fileno=options.fd)
    program = importlib.import_module(f"untorn_conformance.{options.program}")
    makes_one = options.program == "serve" or options.preload
    asked, refused = load(options.factory, makes_one=makes_one)
    wire.warm()
    abi.prctl(abi.PR_SET_PDEATHSIG, 0)  # from here on a hang-up ends us
    gc.collect()
    gc.freeze()  # what was loaded stays shared: a collection in a fork would copy every page
    _tell(control, {"refused": refused} if refused else {"asked": sorted(asked)})
    serves = options.program == "serve"
    order = None if refused else _attend(control, options.factory if serves else "")
    if order is None:
        return 0
    code: int = program.main(order["arguments"])
    return code


def _attend(control: socket.socket, shares: str) -> dict[str, Any] | None:
    """Do as asked: None when the harness has hung up, in a fork what it was made for.

    ``shares`` is the factory whose backend may work for all forks, or "".
    """
    forked = 0
    while True:
        try:
            packet, descriptors, _, _ = socket.recv_fds(control, PACKET_BYTES, MOST_DESCRIPTORS)
        except ConnectionResetError:
            return None
        if not packet:
            return None
        order: dict[str, Any] = json.loads(packet)
        if "bury" in order:
            _tell(control, {"status": os.waitpid(order["bury"], 0)[1]})
            continue
        pid = os.fork()
        if pid == 0:
            control.close()
            _become(order, descriptors)
            return order
        for fd in descriptors:
            os.close(fd)
        _tell(control, {"pid": pid})
        forked += 1
        if forked == _A_FEW and shares:
            share(shares)


def _tell(control: socket.socket, said: Mapping[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # nobody wants to know
        control.send(json.dumps(said).encode())


# --- loading -------------------------------------------------------------------------------------


def load(factory: str, *, makes_one: bool) -> tuple[set[str], str]:
    """Load a backend's code: which variables it asked for, and why its forks will not do, or "".

    ``makes_one``: make a backend, too, and have it load the rest; it is dropped. Raises what the
    code raises.
    """
    asked: set[str] = set()
    files = set(os.listdir("/proc/self/fd"))
    with _watched(asked):
        importlib.import_module(factory.partition(":")[0])
        exits = atexit._ncallbacks()
        if makes_one:
            serve.build(factory)
    return asked, _company(files) or ("an exit handler" * (atexit._ncallbacks() > exits))


def share(factory: str) -> None:
    """Have a backend do what all forks would do. Raises RuntimeError where they would notice."""
    asked: set[str] = set()
    before = _belongings()
    with _watched(asked):
        work = getattr(serve.build(factory), "share", None)
        if work is not None:
            work()
    if _belongings() != before or asked & VOLATILE:
        raise RuntimeError(f"a fork would not be as a new process after share() of {factory}")
    gc.collect()
    gc.freeze()


def _belongings() -> tuple[set[str], ...]:
    """Our threads, children, descriptors, and how many exit handlers there are."""
    with open("/proc/thread-self/children", "rb") as children:
        ours = set(children.read().decode().split())
    handlers = {str(atexit._ncallbacks())}
    return set(os.listdir("/proc/self/task")), ours, set(os.listdir("/proc/self/fd")), handlers


def _company(files: set[str]) -> str:
    """What a fork would lose, or share with others; "" where there is nothing."""
    if os.listdir("/proc/self/task") != [str(os.getpid())]:
        return "a thread"
    with open("/proc/thread-self/children", "rb") as children:
        ended = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        if children.read() or ended:
            return "a child"
    return "a descriptor" if set(os.listdir("/proc/self/fd")) != files else ""


class _Watched(os._Environ[Any]):
    """An environment that notes what it is asked for; made of one that is there already."""

    asked: set[str]

    def __getitem__(self, name: Any) -> Any:
        self.asked.add(os.fsdecode(name))
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[Any]:
        self.asked.update(map(os.fsdecode, super().__iter__()))
        return super().__iter__()


@contextlib.contextmanager
def _watched(asked: set[str]) -> Iterator[None]:
    """Note which variables are asked for."""
    both: tuple[os._Environ[Any], ...] = (os.environ, os.environb)
    for each in both:
        each.__class__ = _Watched
        each.asked = asked  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for each in both:
            each.__class__ = os._Environ


# --- being forked --------------------------------------------------------------------------------


def _become(order: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Have what a new process would have been given."""
    os.setsid()
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD, _OUT_OF_THE_WAY) for fd in descriptors]
    for fd in descriptors:
        os.close(fd)
    for fd, target in zip(moved, order["targets"], strict=True):
        os.dup2(fd, target)
        os.close(fd)
    os.chdir(order["directory"])
    os.umask(order["umask"])
    _mark(order["env"][MARK_VARIABLE])
    for name, value in order["env"].items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _mark(mark: str) -> None:
    """Write a mark over ours, where /proc shows the environment that a process began with."""
    ours = os.fsencode(f"{MARK_VARIABLE}={os.environ[MARK_VARIABLE]}\0")
    theirs = os.fsencode(f"{MARK_VARIABLE}={mark}\0")
    assert len(ours) == len(theirs), "marks are of one length"
    with open("/proc/self/stat", "rb") as stat:
        fields = stat.read().rpartition(b")")[2].split()
    start, end = int(fields[_ENV_START]), int(fields[_ENV_END])
    at = ctypes.string_at(start, end - start).index(ours)
    ctypes.memmove(start + at, theirs, len(theirs))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
