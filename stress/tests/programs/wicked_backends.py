"""Backends that are good caches but for one thing, to show that no backend hurts who judges it.

With this folder on the path: ``py:wicked_backends:FACTORY``. As a program that speaks JSON lines,
where untorn can be imported: ``cmd:python PATH/wicked_backends.py FACTORY``. The factories are

    never_answers_hello     blocks for ever when asked who it is
    hangs_in_lookup         blocks for ever in the read of a pipe that nobody writes
    exits_in_publish        ends with exit code 3 when it is to publish
    forks_for_ever          a lookup starts a chain of processes without end, and waits for it
    ignores_signals         ignores SIGTERM, SIGINT and SIGHUP, and leaves such a child behind
    writes_outside          a publish also writes to the path that ``UNTORN_WICKED_OUTSIDE`` names

``unimportable_backend`` beside this file is the one that cannot even be imported. What is wicked on
the wire itself (half lines, closed ends, orphans) is ``wicked_adapter``.

Rule 1: each is the reviewed specimen, so that up to its one thing any scenario works on it.
Rule 2: the chain has no more than two living processes and a new one each ``LINK_S``, so that who
        reaps orphans keeps up. It ends by itself after ``CHAIN_LIMIT_S``, which is longer than any
        deadline of a test: a test that fails to end it leaves no machine busy for good.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from untorn_conformance import serve
from untorn_conformance.backend import Adopted, Hello, Hit, Miss, Published, Unpublished
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.specimens.after_review import AfterReview
from untorn_conformance.specimens.removal import DeletionOrder

OUTSIDE_VARIABLE: Final = "UNTORN_WICKED_OUTSIDE"
EXIT_CODE: Final = 3
CHAIN_LIMIT_S: Final = 300.0
LINK_S: Final = 0.005


class Wicked(AfterReview):
    """The good cache, under a name of its own."""

    name = "wicked"

    def __init__(self) -> None:
        super().__init__(DeletionOrder.SORTED)


class NeverAnswersHello(Wicked):
    """Blocks at once."""

    def hello(self) -> Hello:
        block_for_ever()


class HangsInLookup(Wicked):
    """Blocks when it is to look something up."""

    def lookup(self, *, key: str) -> Hit | Miss:
        del key
        block_for_ever()


class ExitsInPublish(Wicked):
    """Ends without a word."""

    def publish(self, *, handle: str) -> Published | Adopted | Unpublished:
        del handle
        os._exit(EXIT_CODE)


class ForksForEver(Wicked):
    """Starts a chain and waits for its end, which is not to be expected."""

    def lookup(self, *, key: str) -> Hit | Miss:
        del key
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            run_chain(Path(self._root) / f"chain-{os.getpid()}")
        os.close(writing)
        os.waitpid(child, 0)
        os.read(reading, 1)
        raise BackendError(ErrorCode.INTERNAL, "the chain has ended")


class WritesOutside(Wicked):
    """Writes a file where it has no business, then goes on as if nothing were."""

    def open(self, *, root: str | None, env: Mapping[str, str], clock_offset_s: float) -> None:
        if OUTSIDE_VARIABLE not in os.environ:
            raise BackendError(ErrorCode.BAD_CONFIG, f"{OUTSIDE_VARIABLE} is not set")
        super().open(root=root, env=env, clock_offset_s=clock_offset_s)

    def publish(self, *, handle: str) -> Published | Adopted | Unpublished:
        Path(os.environ[OUTSIDE_VARIABLE]).write_bytes(b"written outside")
        return super().publish(handle=handle)


class IgnoresSignals(Wicked):
    """Stays, and leaves a child that outlives it, whatever they are asked politely."""

    def __init__(self) -> None:
        super().__init__()
        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)

    def lookup(self, *, key: str) -> Hit | Miss:
        if not os.fork():
            os.setsid()
            time.sleep(CHAIN_LIMIT_S)
            os._exit(0)
        return super().lookup(key=key)


never_answers_hello = NeverAnswersHello
hangs_in_lookup = HangsInLookup
exits_in_publish = ExitsInPublish
forks_for_ever = ForksForEver
ignores_signals = IgnoresSignals
writes_outside = WritesOutside


def block_for_ever() -> NoReturn:
    """Read from a pipe whose other end is our own."""
    reading, _writing = os.pipe()
    while True:
        os.read(reading, 1)


def run_chain(mark: Path) -> NoReturn:
    """Make and remove a directory, fork, end; the child does the same.

    The directory makes each link a step at the gate; one that finds the root gone ends the chain.
    """
    ends_s = time.monotonic() + CHAIN_LIMIT_S
    while time.monotonic() < ends_s:
        time.sleep(LINK_S)
        try:
            mark.mkdir()
            mark.rmdir()
        except OSError:
            break
        if os.fork():
            break
    os._exit(0)


def main(arguments: Sequence[str]) -> int:
    """Host one of the factories over stdin and stdout."""
    (factory,) = arguments
    return serve.main([f"wicked_backends:{factory}"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
