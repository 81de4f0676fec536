"""A worker that makes one system call many times, in a loop that runs in C.

    python -m untorn_conformance.bench.explore_loop FD      a keeper of gated ones
    python -m untorn_conformance.bench.explore_loop bare    one that no gate knows of

A request is a line of JSON: the call's name, the folder and how many calls. The answer is how many
seconds one call took.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import BinaryIO, Final

from untorn_stress.gate import keeper

BARE: Final = "bare"
CALLS: Final[dict[str, Callable[[str], object]]] = {"stat": os.stat, "mkdir": os.mkdir}


class Loop:
    """What a worker does: it is the Host that a keeper asks for."""

    @property
    def renews(self) -> bool:
        """Each measurement is a process of its own."""
        return False

    def renew(self) -> bool:
        """Nobody asks for it."""
        return False

    def prepare(self, lines: Sequence[bytes]) -> list[bytes]:
        """Nothing is asked before there is a gate."""
        assert not lines
        return []

    def serve(self, requests: BinaryIO, answers: BinaryIO) -> None:
        """Answer requests until there are no more."""
        for line in requests:
            answers.write(json.dumps(seconds_a_call(**json.loads(line))).encode() + b"\n")
            answers.flush()


def request(call: str, folder: str, count: int) -> bytes:
    """The line that asks for `count` calls of that name in a folder."""
    return json.dumps({"call": call, "folder": folder, "count": count}).encode() + b"\n"


def seconds_a_call(call: str, folder: str, count: int) -> float:
    """Make the calls. `stat` looks at the folder, `mkdir` makes new folders in it."""
    paths: Iterable[str] = repeat(folder, count)
    if call == "mkdir":
        paths = [f"{folder}/{number}" for number in range(count)]
    calls = map(CALLS[call], paths)
    start = time.perf_counter()
    deque(calls, maxlen=0)
    return (time.perf_counter() - start) / count


def main(argument: str) -> None:
    """Keep gated workers, or be one without a gate."""
    if argument == BARE:
        Loop().serve(sys.stdin.buffer, sys.stdout.buffer)
    else:
        keeper.main(socket.socket(fileno=int(argument)), Loop)


if __name__ == "__main__":
    main(sys.argv[1])
