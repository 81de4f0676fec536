"""The reference with a reaper that is soon content. Seeded bug: it returns where it must go on."""

from __future__ import annotations

from typing import Final

from untorn import collect, layout, reap, syscalls
from untorn.root import Root
from untorn.trash import delete, set_aside

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"C3"})
MAY_FAIL: Final = frozenset({"C4", "G4"})
SHOWN_BY: Final[Shown] = (
    Case(file="test_crash.py", id="C3.debris_of_writers_is_reclaimed", says="staging/"),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    vars(collect)["reap_staging"] = _reap_one
    return Reference()


def _reap_one(root: Root, grace_s: float, now_s: float, *, dry_run: bool = False) -> int:
    if dry_run:
        return reap.reap_staging(root, grace_s, now_s, dry_run=True)
    for name in syscalls.names_below(root.staging_fd):
        if layout.staging_key(name) is None:
            continue
        with syscalls.opened(name, syscalls.DIRECTORY_FLAGS, dir_fd=root.staging_fd) as fd:
            inode = reap._lock_dead(root, name, fd, grace_s, now_s)
            target = None if inode is None else set_aside(root, root.staging_fd, name, inode)
        if target is not None:
            delete(root.trash_fd, target)
            return 1
    return 0
