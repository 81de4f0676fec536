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


def reap_staging(root: Root, grace_s: float, now_s: float, *, dry_run: bool = False) -> int:
    """Delete the staging of dead writers older than `grace_s`; how many directories went.

    A dry run counts them and leaves them. The caller holds the collectors' lock: nobody else lists
    `staging` through the root's own descriptor.
    """
    reaped = 0
    for name in syscalls.list_directory(root.staging_fd):
        if layout.staging_key(name) is None:
            continue  # not ours
        try:
            with syscalls.opened(name, syscalls.DIRECTORY_FLAGS, dir_fd=root.staging_fd) as fd:
                inode = _lock_dead(root, name, fd, grace_s, now_s)
                if inode is None:
                    continue
                target = name if dry_run else set_aside(root, root.staging_fd, name, inode)
        except OSError:
            continue  # gone meanwhile, or not to be opened: the next collect looks again
        if target is not None:
            reaped += 1
            if not dry_run:
                delete(root.trash_fd, target)
    return reaped


def _lock_dead(root: Root, name: str, fd: int, grace_s: float, now_s: float) -> int | None:
    """The inode of a dead writer's staging, which is then locked until `fd` is closed."""
    status = os.fstat(fd)
    age_s = now_s - status.st_mtime_ns / NS
    # Dated in the future beyond the grace means that the clock was set back: no reason to wait.
    if -grace_s <= age_s < grace_s or status.st_uid != os.geteuid():
        return None
    if not syscalls.lock_exclusive(fd):
        return None
    there = os.stat(name, dir_fd=root.staging_fd, follow_symlinks=False)
    return status.st_ino if there.st_ino == status.st_ino else None
