"""The reference that counts before it deletes. Seeded bug: what could not be deleted counts too.

Where a call fails amid the deletion, what is left is deleted by the same collect or by the next,
and counted once more.
"""

from __future__ import annotations

from typing import Final

from untorn import collect, syscalls, trash
from untorn.trash import Deleted

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Search, Shown

KILLS: Final = frozenset({"G7"})
MAY_FAIL: Final = frozenset({"G8"})
SHOWN_BY: Final[Shown] = (
    Search(
        scenario="failing-collect",
        preemptions=0,
        errnos=1,
        row="G7",
        rule="bytes",
        says="freed bytes were counted",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    vars(collect)["delete"] = _weighed_before
    return Reference()


def _weighed_before(trash_fd: int, name: str) -> Deleted:
    with syscalls.opened(name, syscalls.DIRECTORY_FLAGS, dir_fd=trash_fd) as fd:
        size = collect._size_on_disk(fd)
    return Deleted(trash.delete(trash_fd, name).files, size)
