"""A warm Python backend, forked for each run: ``python -m untorn_conformance.zygote M:FACTORY FD``.

The code is loaded once; each worker is a fork that makes its own backend, answers what comes before
the gate (``hello``, ``open``), meets the gate and then answers its requests as ``serve`` does.

Rule 1: each worker makes a backend of its own: what a factory opens or starts belongs to it alone.
        One whose object has ``renew()`` may serve another run when it says that it is as new: no
        run may differ for what an earlier one did in its process.
Rule 2: with ``--preload`` the zygote makes one too and drops it, so that code which a backend loads
        late is shared.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from typing import BinaryIO

from untorn_stress.gate import abi, keeper
from untorn_stress.gate.keeper import NOT_RENEWED, RENEW, RENEWED

from untorn_conformance import serve, wire


class Hosted:
    """One worker's backend."""

    def __init__(self, factory: str) -> None:
        self._backend = serve.build(factory, preload=False)

    def prepare(self, lines: Sequence[bytes]) -> list[bytes]:
        """Answer what is asked before there is a gate."""
        return [serve.answer(self._backend, line) for line in lines]

    @property
    def renews(self) -> bool:
        """Whether the backend can be as new without a new process."""
        return getattr(self._backend, "renew", None) is not None

    def serve(self, requests: BinaryIO, answers: BinaryIO) -> None:
        """Answer requests until there are no more."""
        for line in requests:
            if line == RENEW:
                answers.write((RENEWED if self.renew() else NOT_RENEWED) + b"\n")
            else:
                answers.write(serve.answer(self._backend, line))
            answers.flush()

    def renew(self) -> bool:
        """Have the backend renew itself, and with it what Python remembers of its own accord."""
        is_new = bool(self._backend.renew())  # type: ignore[attr-defined]
        tempfile._name_sequence = None  # type: ignore[attr-defined] # drawn from the run's chance
        gc.collect()  # so that the next run's collections come when this one's did
        return is_new


def main(arguments: Sequence[str]) -> int:
    """Load the backend's code and keep workers until the supervisor hangs up."""
    parser = argparse.ArgumentParser(prog="untorn_conformance.zygote", description=__doc__)
    parser.add_argument("factory", metavar="MODULE:FACTORY")
    parser.add_argument("--preload", action="store_true", help="load what is loaded late, too")
    parser.add_argument("fd", type=int, help="the socket to the supervisor")
    options = parser.parse_args(arguments)
    abi.prctl(abi.PR_SET_PDEATHSIG, signal.SIGKILL)  # code that never ends loading sees no hang-up
    control = socket.socket(fileno=options.fd)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    importlib.import_module(options.factory.partition(":")[0])
    if options.preload:
        serve.build(options.factory)
    wire.warm()
    abi.prctl(abi.PR_SET_PDEATHSIG, 0)  # from here on a hang-up ends us, and all below us first
    keeper.main(control, lambda: Hosted(options.factory))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
