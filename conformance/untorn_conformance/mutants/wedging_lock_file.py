"""The reference with a lock file. Seeded bug: who publishes a key makes a file, and removes it.

A writer that is killed in between leaves it, and nobody ever publishes that key again.
"""

from __future__ import annotations

import os
from typing import Final

from untorn import publish
from untorn.lookup import Policy
from untorn.outcome import Failure, Step, UnpublishedReason
from untorn.publish import Adopted, Published
from untorn.staging import Staging

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Search, Shown

KILLS: Final = frozenset({"C2"})
MAY_FAIL: Final = frozenset({"C4", "L2"})
SHOWN_BY: Final[Shown] = (
    Search(
        scenario="writer-writer",
        preemptions=0,
        kills=1,
        row="C2",
        rule="stuck",
        says="key k cannot be published: busy",
    ),
)

_publish = publish.publish


def factory() -> Reference:
    """The mutant, in a process of its own."""
    publish.publish = _publish_alone
    return Reference()


def _publish_alone(staging: Staging, policy: Policy) -> Published | Adopted | Failure:
    name, folder = f"{staging.key}.lock", staging.root.ctl_fd
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, dir_fd=folder))
    except FileExistsError:
        return Failure(reason=UnpublishedReason.BUSY, step=Step.RENAME)
    try:
        return _publish(staging, policy)
    finally:
        os.unlink(name, dir_fd=folder)
