"""Moments: wait until the tree or a process shows something, so that a fault comes right there.

Rule 1: a moment is seen, never timed: what is waited for is a state, and the wait only has an end.
Rule 2: a moment that does not come ends the case as unknown; it says nothing about the backend.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Final

from untorn_stress import supervise

from untorn_conformance.cases import unknown
from untorn_conformance.farm import Farm

WAIT_S: Final = 30.0
"""How long a moment may take to come."""


def await_moment(come: Callable[[], bool], what: str, *, wait_s: float = WAIT_S) -> None:
    """Look again and again until it has come, without a pause: a kill must hit the moment."""
    end_s = time.monotonic() + wait_s
    while not come():
        if time.monotonic() > end_s:
            unknown(f"{what} did not happen in {wait_s:g} s")
        os.sched_yield()  # whom we wait for may need this processor


def names(farm: Farm) -> frozenset[str]:
    """Every path below the root, relative to it: the quickest look at what is there."""
    found: set[str] = set()
    for folder, directories, files in os.walk(farm.root):
        prefix = os.path.relpath(folder, farm.root)
        found.update(os.path.normpath(os.path.join(prefix, n)) for n in (*directories, *files))
    return frozenset(found)


def frame_names(farm: Farm, suffix: str) -> frozenset[str]:
    """The paths below the root whose name ends in ``suffix``, such as the decoder's frames."""
    return frozenset(name for name in names(farm) if name.endswith(suffix))


def await_child(pid: int) -> None:
    """Wait until a forked child has done what it does at its start, and sleeps."""
    await_moment(lambda: supervise.thread_states(pid) == {"S"}, "a forked child that waits")


def end(pid: int) -> None:
    """Kill a forked child and wait until it runs no more."""
    os.kill(pid, signal.SIGKILL)
    await_moment(lambda: supervise.is_gone(pid), "the end of a forked child")
