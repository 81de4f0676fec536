"""A slice: frames of a longer range as an entry of their own, by hard links.

    C1 the longer range's frames are held: a leased entry, or our own locked staging
    C2 locked staging for the slice's key, under a name of its own
    C3 link each frame of the slice there, numbered anew from 1; copy it where links are refused
    C4 each is as it was sealed: regular, of its size, not written since   else nothing is published
    C5 seal and publish, as any other work

An entry keeps its inodes whoever else has names for them: they are read-only, nothing of ours
writes to a frame that is sealed, and a name more changes neither its bytes nor its mtime. Both
entries count each frame's bytes, as the contract's st_size per link has it.

A name for a frame costs no inode and no byte of data, so a slice asks for no room. Links are
refused across devices, by some file systems, and past a number of them (65,000 on ext4).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from typing import NamedTuple

from untorn import events, layout, staging, syscalls, writing
from untorn.access import Access
from untorn.errors import InvalidEntryError
from untorn.frames import Frames
from untorn.lookup import Leased
from untorn.outcome import Miss
from untorn.staging import Staging, Workdir
from untorn.superset import Offset
from untorn.upkeep import Upkeep

_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES, errno.ENOSYS)
_FRAME_NAME = "frame_{:05d}{}"
_OWNER_READS = 0o400
_READ_ONLY = 0o444
_CHUNK_BYTES = 1 << 20


class SourceDamagedError(InvalidEntryError):
    """A frame that was to be cut out is not what was sealed, or gone."""


class Source(NamedTuple):
    """Frames in order that are held: below `fd`, of these sizes, not written after `sealed_ns`."""

    fd: int
    names: Sequence[str]
    sizes: Sequence[int]
    sealed_ns: int


def source_of_entry(leased: Leased) -> Source:
    """The frames of a leased entry (raises OSError, ManifestError)."""
    fd = leased.claim.fd
    sealed_ns = os.stat(layout.MANIFEST, dir_fd=fd, follow_symlinks=False).st_mtime_ns
    return Source(fd, leased.manifest.names, leased.manifest.sizes(), sealed_ns)


def source_of_staging(work: Staging, count: int) -> Source:
    """The `count` frames that were decoded into staging of ours (OSError, InvalidEntryError)."""
    found = staging.inspect(work.fd, count)
    return Source(
        work.fd,
        [name for name, _ in found],
        [status.st_size for _, status in found],
        max(status.st_mtime_ns for _, status in found),
    )


def publish(
    access: Access,
    upkeep: Upkeep,
    source: Source,
    offset: Offset,
    key: str,
    miss: Miss | None = None,
) -> Frames | None:
    """The frames of `source` that `offset` names, as the entry of `key`; None without staging.

    Raises SourceDamagedError for a source that is not what was sealed, and OSError where frames
    could not be staged, or are gone though they were; nothing is left behind then.
    """
    area = writing.stage(access, upkeep, key)
    with area:
        if isinstance(area.work, Workdir):
            return None
        _fill(access, area.work, source, offset)
        frames = area.publish(miss, count=offset.count)
    if frames.failure is not None:
        try:
            for name in frames.names:
                os.stat(name, dir_fd=frames.directory_fd, follow_symlinks=False)
        except OSError:
            frames.release()
            raise
    access.counters.add("sliced")
    frames.is_slice = True
    return frames


def _fill(access: Access, work: Staging, source: Source, offset: Offset) -> None:
    """C3 and C4."""
    copied = 0
    for index in range(offset.first, offset.first + offset.count):
        name = source.names[index]
        parts = layout.frame_number(name)
        assert parts is not None, "names of frames were parsed when they were sealed or staged"
        target = _FRAME_NAME.format(index - offset.first + 1, parts[2])
        try:
            status = _link(source.fd, name, work.fd, target)
            if status is None:
                status = _copy(source.fd, name, work.fd, target)
                copied += 1
        except FileNotFoundError:
            raise SourceDamagedError(f"{name} is gone") from None
        _require_as_sealed(name, status, source, index)
    if copied:
        access.counters.add("slice_copied", copied)
        events.warn_once("slice-copied", "frames of slices are copied: links are refused here")


def _link(source_fd: int, name: str, target_fd: int, target: str) -> os.stat_result | None:
    """The state of a frame that has another name now; None where links are refused."""
    try:
        os.link(name, target, src_dir_fd=source_fd, dst_dir_fd=target_fd, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_LINKS:
            return None
        raise
    return os.stat(target, dir_fd=target_fd, follow_symlinks=False)


def _copy(source_fd: int, name: str, target_fd: int, target: str) -> os.stat_result:
    """The state of a frame after it was copied (raises OSError)."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | syscalls.FILE_FLAGS
    source = syscalls.opened(name, os.O_RDONLY | syscalls.FILE_FLAGS, dir_fd=source_fd)
    made = syscalls.opened(target, flags, dir_fd=target_fd, mode=_READ_ONLY)
    with source as reading, made as writing_to:
        while chunk := os.read(reading, _CHUNK_BYTES):
            view = memoryview(chunk)
            while view:
                view = view[os.write(writing_to, view) :]
        return os.fstat(reading)


def _require_as_sealed(name: str, status: os.stat_result, source: Source, index: int) -> None:
    """SourceDamagedError if somebody has cut, altered or replaced the frame (see lookup R5)."""
    whole = (
        stat.S_ISREG(status.st_mode)
        and status.st_mode & _OWNER_READS
        and status.st_size == source.sizes[index]
        and status.st_mtime_ns <= source.sealed_ns
    )
    if not whole:
        raise SourceDamagedError(f"{name} is not what was sealed")
