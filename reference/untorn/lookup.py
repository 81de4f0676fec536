"""Look an entry up and lease it, or say why not.

    R1 open the entry's directory          absent: a miss
    R2 flock it shared, without waiting    refused: a collector is deciding; a few tries, then busy
    R3 is it what the full path leads to?  else again from R1   <- the linearization point
    R4 read the manifest                   no end: incomplete; of another key: corrupt
    R5 check the files where that is due   missing, cut, altered: damaged

A collector renames a directory only while it holds EX on it. If R3 saw the path lead to our inode
after SH was granted, any EX comes after our close: the entry stays where it is while we hold it.
If EX came first, we fail R2, or get SH after the rename and R3 sees another inode or none.

R5 costs a stat of every frame, so it is done when recency is due to be written, and at once when
somebody else changed the directory. Ours are stamps of whole microseconds, written: at that the
kernel notes another ctime. What changes the names in a directory sets mtime and ctime to one value.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from untorn import layout, manifest, syscalls
from untorn.errors import InvalidEntryError
from untorn.lease import Claim
from untorn.manifest import Manifest, ManifestError
from untorn.outcome import Miss, MissReason
from untorn.root import Root

_LOCK_TRIES = 4
_LOCK_PAUSE_S = 0.0005  # a collector decides in about 60 us
FUTURE_SLACK_S = 60.0
_READ_BYTES = 65536
NS = 1_000_000_000
_STAMP_NS = 1000
_OWNER_READS = 0o400
_ABSENT = (errno.ENOENT,)
_NOT_AN_ENTRY = (errno.ENOTDIR, errno.ELOOP)
LOCKS_UNSUPPORTED = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class Check(IntEnum):
    """How closely an entry is looked at before it is served."""

    MANIFEST = 0  # the manifest, and the files where that is due
    FILES = 1  # every name with its size, and nothing altered since the seal
    DIGESTS = 2  # the bytes of every file


class Leased(NamedTuple):
    """An entry that was found: its manifest, and the claim that keeps it (a tuple as Manifest)."""

    claim: Claim
    manifest: Manifest
    mtime_ns: int
    identity: tuple[int, int]  # st_dev and st_ino of its directory


@dataclass(slots=True, kw_only=True)
class Policy:
    """What a lookup must know beside the root: the time, the resolution, the closest check.

    `verified` remembers entries of an earlier boot whose digests were right, so that they are read
    once a process and not at every hit.
    """

    now_s: float
    resolution_s: float
    check: Check
    verified: set[tuple[str, int]]


def stamp_ns(now_s: float) -> int:
    """A time stamp of ours, in whole microseconds (see R5 above)."""
    return int(now_s * NS) // _STAMP_NS * _STAMP_NS


def was_changed_by_others(status: os.stat_result) -> bool:
    """Whether an entry's directory carries a stamp that is not ours (see R5 above).

    One kernel stamp in a thousand is a whole microsecond: then ctime tells, until that is set too.
    """
    return status.st_mtime_ns % _STAMP_NS != 0 or status.st_mtime_ns == status.st_ctime_ns


def is_stale(mtime_ns: int, policy: Policy) -> bool:
    """Whether recency must be written: older than the resolution, or from the future."""
    age_s = policy.now_s - mtime_ns / NS
    return age_s > policy.resolution_s or age_s < -FUTURE_SLACK_S


def touch(fd: int, now_s: float) -> bool:
    """Write recency; False where the file system does not let us (a read-only root)."""
    stamp = stamp_ns(now_s)
    try:
        os.utime(fd, ns=(stamp, stamp))
    except OSError:
        return False
    return True


def lease_entry(root: Root, key: str, policy: Policy) -> Leased | Miss:
    """The leased entry of `key`, or the miss."""
    for attempt in range(_LOCK_TRIES):
        if attempt:
            time.sleep(_LOCK_PAUSE_S)
        try:
            current = _lock_current(root, key)
        except OSError as error:
            return _miss_of(error)
        if current is None:
            continue
        claim, status = current
        try:
            sealed, mtime_ns = examine(root, key, claim.fd, status, policy)
            return Leased(claim, sealed, mtime_ns, (status.st_dev, status.st_ino))
        except ManifestError as error:
            claim.release()
            return Miss(reason=error.reason, detail=error.detail, by_digest=error.by_digest)
        except OSError as error:
            claim.release()
            return _miss_of(error)
        except BaseException:
            claim.release()
            raise
    return Miss(reason=MissReason.BUSY, detail="a collector is deciding about it")


def _lock_current(root: Root, key: str) -> tuple[Claim, os.stat_result] | None:
    """R1 to R3: a claim on what the path leads to and its state, or None to try again."""
    claim = Claim(os.open(key, syscalls.DIRECTORY_FLAGS, dir_fd=root.entries_fd))
    try:
        if _share(claim.fd):
            ours = os.fstat(claim.fd)
            # By the full path, which tells in the same call that the root is still in its place.
            there = os.stat(f"{root.entries_path}/{key}", follow_symlinks=False)
            if ours.st_ino == there.st_ino and ours.st_dev == there.st_dev:
                return claim, ours
    except BaseException:
        claim.release()
        raise
    claim.release()
    return None


def _share(fd: int) -> bool:
    """Lock shared. Where there are no locks at all nothing collects either, so we go without."""
    try:
        return syscalls.lock_shared(fd)
    except OSError as error:
        if error.errno in LOCKS_UNSUPPORTED:
            return True
        raise


def _miss_of(error: OSError) -> Miss:
    detail = f"{errno.errorcode.get(error.errno or 0, '?')}: {error.strerror}"
    if error.errno in _ABSENT:
        return Miss(reason=MissReason.ABSENT)
    if error.errno in _NOT_AN_ENTRY:
        return Miss(reason=MissReason.DAMAGED, detail="not a directory")
    return Miss(reason=MissReason.UNREADABLE, detail=detail, error=error.errno)


def examine(
    root: Root, key: str, fd: int, status: os.stat_result, policy: Policy
) -> tuple[Manifest, int]:
    """R4 and R5 on the open directory `fd`, whose `status` was taken under its lock.

    Its manifest and its recency in ns.

    Raises ManifestError for what is provably no entry of `key`, and OSError for what could not be
    read just now, which proves nothing.
    """
    sealed = manifest.parse(read_manifest(fd), key)
    mtime_ns = status.st_mtime_ns
    due = is_stale(mtime_ns, policy)
    check = policy.check
    if sealed.boot_id != root.boot_id or not root.boot_id:
        check = max(check, _check_of_earlier_boot(sealed, status, policy))
    if due or was_changed_by_others(status):
        check = max(check, Check.FILES)
    if check >= Check.FILES:
        check_files(fd, sealed)
    if check >= Check.DIGESTS:
        check_digests(fd, sealed)
        policy.verified.add((key, status.st_ino))
    if due and touch(fd, policy.now_s):
        mtime_ns = stamp_ns(policy.now_s)
    return sealed, mtime_ns


def _check_of_earlier_boot(sealed: Manifest, status: os.stat_result, policy: Policy) -> Check:
    """An entry that may have been through a power loss is believed for its digests alone."""
    if not sealed.digested:
        raise ManifestError(MissReason.UNVERIFIED, "sealed in another boot, without digests")
    if (sealed.key, status.st_ino) in policy.verified:
        return policy.check
    return Check.DIGESTS


def read_manifest(fd: int) -> bytes:
    """The manifest's bytes below an entry's descriptor; ManifestError if there is none."""
    try:
        file = os.open(layout.MANIFEST, os.O_RDONLY | syscalls.FILE_FLAGS, dir_fd=fd)
    except FileNotFoundError:
        raise ManifestError(MissReason.INCOMPLETE, "no manifest") from None
    except OSError as error:
        if error.errno in _NOT_AN_ENTRY:
            raise ManifestError(MissReason.DAMAGED, "the manifest is a symlink") from None
        if error.errno == errno.ENXIO:
            raise ManifestError(MissReason.DAMAGED, "the manifest is a socket") from None
        if error.errno == errno.EACCES and not _mode(layout.MANIFEST, fd) & _OWNER_READS:
            raise ManifestError(MissReason.DAMAGED, "the manifest's mode forbids reading") from None
        raise
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise ManifestError(MissReason.DAMAGED, "the manifest is not a regular file")
        if status.st_size > manifest.MAX_BYTES:
            raise ManifestError(MissReason.CORRUPT, "the manifest is too long to be one")
        # A small buffer: asking for a megabyte at once costs more than the whole read.
        text = os.read(file, _READ_BYTES)
        while len(text) < status.st_size and (more := os.read(file, 1 << 20)):
            text += more
        return text
    finally:
        os.close(file)


def _mode(name: str, fd: int) -> int:
    return os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode


def check_files(fd: int, sealed: Manifest) -> None:
    """Every name is a regular file of its sealed size, unaltered since; ManifestError otherwise.

    A frame written after the manifest was altered after the seal: at the seal no frame is younger.
    """
    try:
        in_order = manifest.order_frames(sealed.names) == list(sealed.names)
    except InvalidEntryError:
        in_order = False
    if not in_order:
        raise ManifestError(MissReason.CORRUPT, "the manifest's names are not frames in a row")
    try:
        sealed_ns = os.stat(layout.MANIFEST, dir_fd=fd, follow_symlinks=False).st_mtime_ns
        for name, size in zip(sealed.names, sealed.sizes(), strict=True):
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode) or not status.st_mode & _OWNER_READS:
                raise ManifestError(MissReason.DAMAGED, f"{name} is no readable regular file")
            if status.st_size != size:
                raise ManifestError(
                    MissReason.DAMAGED, f"{name} has {status.st_size} bytes, sealed were {size}"
                )
            if status.st_mtime_ns > sealed_ns:
                raise ManifestError(MissReason.DAMAGED, f"{name} was written after the seal")
    except FileNotFoundError as error:
        raise ManifestError(MissReason.DAMAGED, f"{error.filename} is missing") from None


def check_digests(fd: int, sealed: Manifest) -> None:
    """The bytes of every file are the sealed ones; ManifestError otherwise."""
    digests = sealed.digests()
    if not digests:
        raise ManifestError(MissReason.UNVERIFIED, "sealed without digests")
    for name, expected in zip(sealed.names, digests, strict=True):
        try:
            with syscalls.opened(name, os.O_RDONLY | syscalls.FILE_FLAGS, dir_fd=fd) as file:
                found = manifest.digest_file(lambda size, file=file: os.read(file, size))  # type: ignore[misc]
        except FileNotFoundError:
            raise ManifestError(MissReason.DAMAGED, f"{name} is missing") from None
        if found != expected:
            raise ManifestError(
                MissReason.DAMAGED, f"{name} has other bytes than were sealed", by_digest=True
            )
