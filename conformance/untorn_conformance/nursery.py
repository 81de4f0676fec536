"""A warm Python backend, forked for a storm: ``python -m untorn_conformance.nursery M:FACTORY FD``.

The code is loaded once; each worker is a fork that makes its own backend and answers as ``serve``
does. Nothing of it is gated. Further arguments are directories that are removed at the end.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import BinaryIO

from untorn_stress.gate import abi
from untorn_stress.storm import nursery

from untorn_conformance import serve, wire


class HostedGuest:
    """One worker's backend."""

    def __init__(self, factory: str) -> None:
        self._backend = serve.build(factory, preload=False)

    def serve(self, requests: BinaryIO, answers: BinaryIO) -> None:
        """Answer requests until there are no more."""
        serve.serve(self._backend, requests, answers)


def main(arguments: Sequence[str]) -> int:
    """Load the backend's code and start workers until the driver hangs up."""
    parser = argparse.ArgumentParser(prog="untorn_conformance.nursery", description=__doc__)
    parser.add_argument("factory", metavar="MODULE:FACTORY")
    parser.add_argument("fd", type=int, help="the socket to the driver")
    parser.add_argument("scratch", nargs="*", help="directories to remove at the end")
    options = parser.parse_args(arguments)
    abi.prctl(abi.PR_SET_PDEATHSIG, signal.SIGKILL)  # code that never ends loading sees no hang-up
    control = socket.socket(fileno=options.fd)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    serve.build(options.factory)  # loads what is loaded late, too: other users may not read it
    wire.warm()
    abi.prctl(abi.PR_SET_PDEATHSIG, 0)  # from here on a hang-up ends us, and all below us first
    nursery.main(control, options.scratch, lambda: HostedGuest(options.factory))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
