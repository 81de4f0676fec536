"""The reference with two locks in two orders. Seeded bug: who has one waits for the other.

A publish locks the writers out and then the collectors, a collect does it the other way round.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from untorn import publish, syscalls, upkeep
from untorn.collect import Orders, collect
from untorn.lookup import Policy
from untorn.outcome import Collected, Failure, Skipped
from untorn.publish import Adopted, Published
from untorn.root import Root
from untorn.staging import Staging

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Search, Shown

KILLS: Final = frozenset({"L5"})
MAY_FAIL: Final = frozenset({"G12", "L1", "L2", "L3", "L4", "R4"})
SHOWN_BY: Final[Shown] = (
    Search(
        scenario="writer-collector",
        preemptions=1,
        row="L5",
        rule="deadlock",
        says="for what never comes",
    ),
)

_publish = publish.publish


def factory() -> Reference:
    """The mutant, in a process of its own."""
    publish.publish = _publish_alone
    vars(upkeep)["collect"] = _collect_alone
    return Reference()


def _publish_alone(staging: Staging, policy: Policy) -> Published | Adopted | Failure:
    with _locked(staging.root, "writers"), _locked(staging.root, "collectors"):
        return _publish(staging, policy)


def _collect_alone(root: Root, orders: Orders) -> Collected | Skipped:
    with _locked(root, "collectors"), _locked(root, "writers"):
        return collect(root, orders)


@contextmanager
def _locked(root: Root, name: str) -> Iterator[None]:
    flags = os.O_RDONLY | os.O_CREAT
    with syscalls.opened(f"{name}.lock", flags, dir_fd=root.ctl_fd) as fd:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
