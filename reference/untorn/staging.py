"""A writer's private work: a locked directory that nobody else can see as an entry.

    S1 mkdir staging/<key>.<random>   S2 open it, flock it shared   S3 is it still there?

Between S1 and S2 a reaper may take it for a dead writer's; S3 notices and the writer starts again
under another name. From then on the lock says "alive", however old or stopped the writer is. The
decoder inherits the descriptor, so staging stays locked while an orphaned decoder writes on. The
same lock becomes the publisher's lease, since it travels with the directory through the rename.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from typing import NamedTuple

from untorn import layout, manifest, syscalls
from untorn.config import Durability, Settings
from untorn.errors import InvalidEntryError
from untorn.lease import Claim
from untorn.lookup import LOCKS_UNSUPPORTED, stamp_ns
from untorn.manifest import Manifest
from untorn.root import Root
from untorn.trash import discard

_MAKE_TRIES = 16
_READ_ONLY = 0o444
_MODE_BITS = 0o7777
_NOT_FRAMES = (layout.RESERVATION, layout.MANIFEST)


class _Own(NamedTuple):
    """A directory that is ours: its lock, and its st_dev and st_ino."""

    claim: Claim
    identity: tuple[int, int]


class Staging:
    """A locked staging directory below a root; also what keeps unpublished frames readable."""

    __slots__ = ("_owner_pid", "claim", "identity", "key", "name", "path", "root")

    def __init__(self, root: Root, key: str, name: str, own: _Own) -> None:
        self.root = root
        self.key = key
        self.name = name
        self.path = os.path.join(root.path, layout.STAGING, name)
        self.claim = own.claim
        self.identity = own.identity  # (st_dev, st_ino)
        self._owner_pid = os.getpid()

    @property
    def fd(self) -> int:
        """The directory's locked descriptor; negative once released."""
        return self.claim.fd

    def release(self) -> None:
        """Drop the work: rename it into the trash, delete it, let go of the lock."""
        if self.claim.released:
            return
        if os.getpid() != self._owner_pid:
            self.claim.release()
            return
        target = layout.trash_name(self.name)
        try:
            os.rename(
                self.name,
                target,
                src_dir_fd=self.root.staging_fd,
                dst_dir_fd=self.root.trash_fd,
            )
        except OSError:  # the root was taken away, or cannot be written: the reaper will see to it
            self.claim.release()
            return
        discard(self.root.trash_fd, target, self.fd)
        self.claim.release()


class Workdir:
    """A private directory outside the cache for what cannot be staged; removed on release."""

    __slots__ = ("_owner_pid", "claim", "key", "path")

    def __init__(self, key: str) -> None:
        self.key = key
        try:
            self.path = tempfile.mkdtemp(prefix="untorn-uncached-")
        except FileNotFoundError:
            # What keeps it from writing anywhere tempfile does not say; this does of descriptors.
            os.close(os.open(os.devnull, os.O_RDONLY))
            raise
        try:
            self.claim = Claim(os.open(self.path, syscalls.DIRECTORY_FLAGS))
        except OSError:
            os.rmdir(self.path)
            raise
        self._owner_pid = os.getpid()

    @property
    def fd(self) -> int:
        """The directory's descriptor; negative once released."""
        return self.claim.fd

    def release(self) -> None:
        """Remove the directory with all it holds."""
        if not self.claim.released:
            self.claim.release()
            if os.getpid() == self._owner_pid:
                shutil.rmtree(self.path, ignore_errors=True)


def make(root: Root, key: str) -> Staging:
    """Fresh, locked staging for a writer of `key` (raises OSError)."""
    for _ in range(_MAKE_TRIES):
        name = layout.staging_name(key)
        os.mkdir(name, 0o700, dir_fd=root.staging_fd)
        try:
            own = _lock_own(root, name)
        except OSError:  # out of descriptors: each try would leave a directory
            with contextlib.suppress(OSError):  # the reaper will
                os.rmdir(name, dir_fd=root.staging_fd)
            raise
        if own is not None:
            return Staging(root, key, name, own)
        with contextlib.suppress(OSError):  # the reaper has it already, or will
            os.rmdir(name, dir_fd=root.staging_fd)
    raise FileNotFoundError(2, "staging is removed as fast as it is made", root.path)


def _lock_own(root: Root, name: str) -> _Own | None:
    """S2 and S3; None if a reaper has it."""
    try:
        claim = Claim(os.open(name, syscalls.DIRECTORY_FLAGS, dir_fd=root.staging_fd))
    except FileNotFoundError:
        return None
    try:
        if _lock(claim.fd):
            # Nobody else makes a name of 128 random bits: what has it is what we opened.
            there = os.stat(name, dir_fd=root.staging_fd, follow_symlinks=False)
            return _Own(claim, (there.st_dev, there.st_ino))
    except FileNotFoundError:
        claim.release()
        return None
    except BaseException:
        claim.release()
        raise
    claim.release()
    return None


def _lock(fd: int) -> bool:
    try:
        return syscalls.lock_shared(fd)
    except OSError as error:
        if error.errno in LOCKS_UNSUPPORTED:
            return True  # no locks here: then nothing reaps either (see root.Trust)
        raise


def inspect(fd: int, count: int | None = None) -> list[tuple[str, os.stat_result]]:
    """The frames below `fd` in order, checked: regular, non-empty, no gap and no duplicate.

    Raises InvalidEntryError (contract P8) or OSError: ENOENT for fewer than the `count` that were
    written, of which an outsider took some.
    """
    names = syscalls.list_directory(fd)
    _require_all(names, count)
    return _inspect(fd, names)


def _require_all(names: list[str], count: int | None) -> None:
    left = len([name for name in names if name not in _NOT_FRAMES])
    if count is not None and left < count:
        lost = f"{count - left} of {count} staged frames were removed by somebody else"
        raise FileNotFoundError(errno.ENOENT, lost)


def _inspect(fd: int, names: list[str]) -> list[tuple[str, os.stat_result]]:
    frames = []
    for name in manifest.order_frames([name for name in names if name not in _NOT_FRAMES]):
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidEntryError(f"not a regular file: {name!r}")
        if not status.st_size:
            raise InvalidEntryError(f"empty frame: {name!r}")
        frames.append((name, status))
    return frames


def seal(staging: Staging, settings: Settings, now_s: float, count: int | None = None) -> Manifest:
    """Write the manifest, last of all; from here on the directory is an entry that nobody sees.

    Raises InvalidEntryError or OSError, as `inspect` does with its `count`. The directory's mtime
    becomes a stamp of ours, and no frame is younger than the manifest, so that later changes by
    others show (see lookup).
    """
    fd, digest = staging.fd, settings.digests
    names = syscalls.list_directory(fd)
    if layout.RESERVATION in names:
        os.unlink(layout.RESERVATION, dir_fd=fd)
    _require_all(names, count)
    found = _inspect(fd, names)
    frames = []
    for name, status in found:
        if status.st_mode & _MODE_BITS != _READ_ONLY:  # one its owner cannot read is damage
            os.chmod(name, _READ_ONLY, dir_fd=fd)
        frames.append((name, status.st_size, _digest(fd, name) if digest else None))
    text = manifest.render(staging.key, frames, staging.root.boot_id)
    sealed_ns = _write_manifest(fd, text)
    for name, status in found:
        # Hard-linked frames may come from the future; the clock may step back between two writes.
        if status.st_mtime_ns > sealed_ns:
            os.utime(name, ns=(status.st_atime_ns, sealed_ns), dir_fd=fd)
    stamp = stamp_ns(now_s)
    os.utime(fd, ns=(stamp, stamp))
    if settings.durability is Durability.SYNCFS:
        syscalls.sync_file_system(fd)
    return Manifest(
        staging.key,
        tuple([name for name, _ in found]),
        sum([status.st_size for _, status in found]),
        staging.root.boot_id,
        digest,
        text,
    )


def _digest(fd: int, name: str) -> str:
    with syscalls.opened(name, os.O_RDONLY | syscalls.FILE_FLAGS, dir_fd=fd) as file:
        return manifest.digest_file(lambda size: os.read(file, size))


def _write_manifest(fd: int, text: bytes) -> int:
    """Write the manifest; its mtime in ns."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | syscalls.FILE_FLAGS
    with syscalls.opened(layout.MANIFEST, flags, dir_fd=fd, mode=_READ_ONLY) as file:
        view = memoryview(text)
        while view:  # a full disk shows as a short write first, and as ENOSPC at the next one
            view = view[os.write(file, view) :]
        return os.fstat(file).st_mtime_ns
