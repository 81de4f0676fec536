"""The warden of a shard: a process that starts it, ends it, and leaves nothing of it.

    python -m untorn_stress.campaign.warden     the order is the first line of stdin

Rule 1: the other end of stdin is the campaign's. When it closes, the campaign is gone, however it
        went: the shard is told to end (SIGTERM), and killed with all its descendants soon after.
        SIGTERM of the warden means the same.
Rule 2: the same where the shard takes longer than its limit, and for what it leaves when it ends.
Rule 3: descendants are ours, since we are their subreaper, or carry the shard's mark.
Rule 4: the shard's temporary files are in one directory of its own, which goes with it.

The answer is one line of JSON on stdout. Sources: prctl(2), pidfd_open(2).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

import psutil

from untorn_stress import supervise, tree_removal
from untorn_stress.gate import abi

CAMPAIGN_VARIABLE: Final = "UNTORN_CAMPAIGN"
"""The environment variable that marks every process of a campaign's shards."""

SHARD_VARIABLE: Final = "UNTORN_CAMPAIGN_SHARD"
"""The one that marks every process of one attempt at a shard."""

TERM_S: Final = 10.0
"""How long a shard may take to end once it was told to, in seconds."""

_ENDED, _TOO_LONG, _LEFT = "ended", "too long", "left alone"


class LeftAloneError(Exception):
    """Nobody wants the shard's result any more."""


def _on_sigterm(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: we are ending
    raise LeftAloneError


def main() -> int:
    """Do as the order says; returns our own exit code."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    abi.prctl(abi.PR_SET_CHILD_SUBREAPER, 1)
    order = json.loads(sys.stdin.buffer.readline())
    private = Path(order["private"])
    private.mkdir(parents=True)
    try:
        answer = _run(order, private)
    finally:
        _kill_descendants(order["mark"])
        tree_removal.remove(str(private), os.lstat(private))
    with contextlib.suppress(BrokenPipeError):  # the campaign is gone, and reads no answer
        os.write(1, json.dumps(answer).encode() + b"\n")
    return 0


def _run(order: dict[str, Any], private: Path) -> dict[str, Any]:
    environment = {
        **os.environ,
        "TMPDIR": str(private),
        SHARD_VARIABLE: order["mark"],
    }
    started_s = time.monotonic()
    with open(order["stdout"], "wb") as stdout, open(order["stderr"], "wb") as stderr:
        shard = subprocess.Popen(
            order["argv"],
            cwd=order["cwd"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            how = _watch(shard.pid, started_s + order["limit_s"])
        except LeftAloneError:
            how = _LEFT
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # to be told twice is to be told once
        if how != _ENDED:
            _end(shard)
    exit_code = shard.wait()
    left = _kill_descendants(order["mark"])
    return {
        "exit_code": exit_code,
        "how": how,
        "seconds": time.monotonic() - started_s,
        "left_processes": left,
    }


def _watch(pid: int, end_s: float) -> str:
    """Wait for the shard's end, for that of its campaign, or for too long."""
    descriptor = os.pidfd_open(pid)
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        poller.register(0, select.POLLIN | select.POLLHUP)
        ready = {fd for fd, _ in poller.poll(max(0.0, end_s - time.monotonic()) * 1000)}
    finally:
        os.close(descriptor)
    if descriptor in ready:
        return _ENDED
    return _LEFT if ready else _TOO_LONG


def _end(shard: subprocess.Popen[bytes]) -> None:
    """Tell it to end, and give it the time to write what it has."""
    shard.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        shard.wait(TERM_S)
        return
    shard.kill()


def _kill_descendants(mark: str) -> int:
    me = psutil.Process()

    def living() -> list[psutil.Process]:
        children = [each for each in me.children(recursive=True) if not supervise.is_gone(each.pid)]
        return [*{*children, *supervise.marked(mark, SHARD_VARIABLE)}]

    return supervise.kill_all(living)


if __name__ == "__main__":
    sys.exit(main())
