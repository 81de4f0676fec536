"""Publish: make sealed staging an entry in one step, or use the winner's, and never harm one.

    P1 renameat2(staging -> v1/<key>, NOREPLACE)     done: published, and our lock is the lease
    P2 refused: look the winner up, every file       whole: adopted, our work is dropped
    P3 it is damaged: take EX on it without waiting  held through every try: unpublished(busy)
    P4 still there and still damaged? rename it into the trash, let go, P1 again

A complete entry is never removed or replaced: P1 refuses to, and P4 moves only what is damaged
while holding EX on it, so no other process of ours can move it and no winner can land in its place.
What is not a directory is unlinked, which the kernel refuses for a directory: the check is its own.

Where RENAME_NOREPLACE is not known, plain rename refuses every non-empty target just as well; it
would replace an empty directory, so repair stays off there.
"""

from __future__ import annotations

import errno
import os
import time
from dataclasses import dataclass

from untorn import lookup, syscalls
from untorn.lease import Claim
from untorn.lookup import Check, Leased, Policy
from untorn.manifest import ManifestError
from untorn.outcome import Failure, Miss, MissReason, Step, UnpublishedReason
from untorn.root import Root
from untorn.staging import Staging
from untorn.trash import discard, set_aside

_OCCUPIED = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR)
# EPERM stands for "exists" on some overlays and network file systems; see what is in the place.
_MAYBE_OCCUPIED = (*_OCCUPIED, errno.EPERM, errno.EACCES)
_NO_NOREPLACE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
# Who holds the place is over in a moment; pauses that double take few steps if not (contract L4).
_PAUSES_S = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064)


@dataclass(frozen=True, slots=True)
class Published:
    """Our staging became the entry."""

    repaired: bool


@dataclass(frozen=True, slots=True)
class Adopted:
    """Another writer's entry is in the place, checked name by name, and leased."""

    winner: Leased


def publish(staging: Staging, policy: Policy) -> Published | Adopted | Failure:
    """Put sealed staging in its place.

    `policy` is how a winner is checked; never less closely than every file with its size.
    """
    root, key = staging.root, staging.key
    close = Policy(
        now_s=policy.now_s,
        resolution_s=policy.resolution_s,
        check=max(policy.check, Check.FILES),
        verified=policy.verified,
    )
    repaired = False
    held: Failure | None = None
    for pause_s in (*_PAUSES_S, 0.0):
        refusal = _rename(staging)
        found = None if refusal is None else _look(staging, refusal, close)
        if found is None:
            return Published(repaired)
        if isinstance(found, Failure):
            return found
        if isinstance(found, Leased):
            return Adopted(found)
        if found.reason is MissReason.ABSENT:
            continue  # a collector took it in between
        if found.reason is not MissReason.BUSY:
            cleared = _repair(root, key, found, close)
            if not isinstance(cleared, Failure):
                repaired = repaired or cleared
                continue
            if cleared.reason is not UnpublishedReason.BUSY and cleared.error != errno.ENOENT:
                return cleared
            held = cleared  # by a lookup or another repair, which may also have cleared the place
        if pause_s:
            time.sleep(pause_s)
    return held or Failure(
        reason=UnpublishedReason.BUSY,
        step=Step.RENAME,
        detail=f"the place stayed taken through {len(_PAUSES_S) + 1} tries",
    )


def _rename(staging: Staging) -> OSError | None:
    """P1; None if it was done, else what was said, which `_look` may know better."""
    root, key = staging.root, staging.key
    try:
        syscalls.rename_noreplace(root.staging_fd, staging.name, root.entries_fd, key)
    except OSError as error:
        if error.errno in _NO_NOREPLACE:
            return _plain_rename(staging)
        return error
    return None


def _plain_rename(staging: Staging) -> OSError | None:
    root = staging.root
    try:
        os.rename(staging.name, staging.key, src_dir_fd=root.staging_fd, dst_dir_fd=root.entries_fd)
    except OSError as error:
        return error
    return None


def _look(staging: Staging, refusal: OSError, policy: Policy) -> Leased | Miss | Failure | None:
    """P2: what has the place that was refused; None if it is our directory, whatever was said."""
    if refusal.errno not in _MAYBE_OCCUPIED:
        return None if _landed(staging) else Failure.of(refusal, Step.RENAME)
    found = lookup.lease_entry(staging.root, staging.key, policy)
    if isinstance(found, Leased):
        if found.identity != staging.identity:
            return found
        found.claim.release()  # the staging's own lock is the lease
        return None
    if found.reason is MissReason.ABSENT:
        return found if refusal.errno in _OCCUPIED else Failure.of(refusal, Step.RENAME)
    return None if _landed(staging) else found


def _landed(staging: Staging) -> bool:
    """Whether the path leads to our own directory: a lost reply of a network file system."""
    try:
        there = os.stat(staging.key, dir_fd=staging.root.entries_fd, follow_symlinks=False)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == staging.identity


def _repair(root: Root, key: str, found: Miss, policy: Policy) -> Failure | bool:
    """P3 and P4: clear the place of something damaged.

    True if we did, False if nothing was left to be done; both are worth trying again.
    """
    if not root.trust.locks:
        return Failure(
            reason=UnpublishedReason.UNTRUSTED,
            step=Step.REPAIR,
            detail=f"{found.reason} is in the place, and locks cannot be trusted here",
        )
    try:
        claim = Claim(os.open(key, syscalls.DIRECTORY_FLAGS, dir_fd=root.entries_fd))
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            return _unlink(root, key)
        return Failure.of(error, Step.REPAIR)
    try:
        return _set_damaged_aside(root, key, claim.fd, policy)
    except OSError as error:
        return Failure.of(error, Step.REPAIR)
    finally:
        claim.release()


def _unlink(root: Root, key: str) -> Failure | bool:
    try:
        os.unlink(key, dir_fd=root.entries_fd)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EISDIR):  # gone, or a winner by now
            return False
        return Failure.of(error, Step.REPAIR)
    return True


def _set_damaged_aside(root: Root, key: str, fd: int, policy: Policy) -> Failure | bool:
    if not syscalls.lock_exclusive(fd):
        return Failure(
            reason=UnpublishedReason.BUSY,
            step=Step.REPAIR,
            detail="something damaged is in the place, and somebody holds it",
        )
    there = os.stat(key, dir_fd=root.entries_fd, follow_symlinks=False)
    ours = os.fstat(fd)
    if there.st_ino != ours.st_ino or _is_whole(root, key, fd, ours, policy):
        return False
    target = set_aside(root, root.entries_fd, key, ours.st_ino)
    if target is not None:
        discard(root.trash_fd, target, fd)
    return target is not None


def _is_whole(root: Root, key: str, fd: int, status: os.stat_result, policy: Policy) -> bool:
    """Whether what we hold EX on is an entry after all; OSError proves nothing, and flies."""
    try:
        lookup.examine(root, key, fd, status, policy)
    except ManifestError:
        return False
    return True
