"""Reap: staging whose writer is dead, known by its free lock and not by its age.

A live writer's staging is never touched, however old or stopped the writer is, and neither is one
that an orphaned decoder still writes to: the lock is held by whoever has the descriptor.
"""

from __future__ import annotations

import os

from untorn import layout, syscalls
from untorn.lookup import NS
from untorn.root import Root
from untorn.trash import delete, set_aside


def reap_staging(root: Root, grace_s: float, now_s: float) -> int:
    """Delete the staging of dead writers older than `grace_s`; how many directories went."""
    reaped = 0
    for name in os.listdir(root.staging_fd):
        if layout.staging_key(name) is None:
            continue  # not ours
        try:
            target = _set_dead_aside(root, name, grace_s, now_s)
        except OSError:
            continue  # gone meanwhile, or not to be opened: the next collect looks again
        if target is not None:
            delete(root.trash_fd, target)
            reaped += 1
    return reaped


def _set_dead_aside(root: Root, name: str, grace_s: float, now_s: float) -> str | None:
    with syscalls.opened(name, syscalls.DIRECTORY_FLAGS, dir_fd=root.staging_fd) as fd:
        status = os.fstat(fd)
        age_s = now_s - status.st_mtime_ns / NS
        # Dated in the future beyond the grace means that the clock was set back: no reason to wait.
        if -grace_s <= age_s < grace_s or status.st_uid != os.geteuid():
            return None
        if not syscalls.lock_exclusive(fd):
            return None
        there = os.stat(name, dir_fd=root.staging_fd, follow_symlinks=False)
        if there.st_ino != status.st_ino:
            return None
        return set_aside(root, root.staging_fd, name, fd)
