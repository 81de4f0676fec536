"""The reference with a ledger of sizes. Seeded bug: it knows them by key, and some are another's.

Who has published notes what its entry weighs, and a collect believes the notes. A writer that dies
before it has noted anything leaves what was noted of the key's last entry. So did the reference,
until a storm told it.
"""

from __future__ import annotations

import os
from typing import Final

from untorn import collect, publish, syscalls
from untorn.lookup import Policy
from untorn.outcome import Failure
from untorn.publish import Adopted, Published
from untorn.root import Root
from untorn.staging import Staging

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Deaths, Shown

KILLS: Final = frozenset({"G2"})
MAY_FAIL: Final = frozenset({"C1", "C2", "C3"})  # the rows of the case that shows it
SHOWN_BY: Final[Shown] = (
    Deaths(
        scenario="outgrown-alone",
        row="G2",
        rule="under-weighed",
        says="a collect is over a budget of 0 by",
    ),
)

_NOTES = "sizes"
_MOST_BYTES = 1 << 20
_publish = publish.publish
_size_of_entry = collect._size_of_entry


def factory() -> Reference:
    """The mutant, in a process of its own."""
    vars(publish)["publish"] = _publish_and_note
    vars(collect)["_size_of_entry"] = _size_as_noted
    return Reference()


def _publish_and_note(staging: Staging, policy: Policy) -> Published | Adopted | Failure:
    done = _publish(staging, policy)
    if isinstance(done, Published):
        line = f"{staging.key} {_size_of_entry(staging.root, staging.key)}\n"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | syscalls.FILE_FLAGS
        with syscalls.opened(_NOTES, flags, dir_fd=staging.root.ctl_fd) as fd:
            os.write(fd, line.encode("ascii"))
    return done


def _size_as_noted(root: Root, key: str) -> int:
    return _noted(root).get(key) or _size_of_entry(root, key)


def _noted(root: Root) -> dict[str, int]:
    flags = os.O_RDONLY | syscalls.FILE_FLAGS
    try:
        with syscalls.opened(_NOTES, flags, dir_fd=root.ctl_fd) as fd:
            lines = os.read(fd, _MOST_BYTES).decode("ascii").splitlines()
    except FileNotFoundError:
        return {}
    return {key: int(size) for key, _, size in (line.partition(" ") for line in lines)}
