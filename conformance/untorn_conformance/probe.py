"""What is really on disk: a picture of a tree, taken behind the backend's back.

The picture changes nothing that a cache could look at: no link is followed, nothing that could
block is opened, and access times are left alone where the system allows it. A tree may change while
its picture is taken; what vanished in between is counted, so that nobody mistakes the picture for a
single instant.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Final

_CHUNK_BYTES: Final = 1024 * 1024


class Kind(StrEnum):
    """What a name in a directory stands for."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    FIFO = "fifo"
    SOCKET = "socket"
    DEVICE = "device"


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One name. ``inode`` is (device, inode number); ``target`` is a symlink's text.

    ``sha256`` is that of a regular file's bytes, empty for everything else and for a file that we
    may not read (``readable`` is False then). ``size`` is st_size in bytes, ``mode`` the permission
    bits.
    """

    kind: Kind
    size: int
    mode: int
    nlink: int
    uid: int
    inode: tuple[int, int]
    mtime_ns: int
    sha256: str = ""
    target: str = ""
    readable: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A tree's names, relative to its root and without it, in sorted order.

    ``exists`` is False when there was no directory at the root; ``vanished`` counts the names that
    were listed but gone before they could be read.
    """

    entries: Mapping[str, Node]
    exists: bool = True
    vanished: int = 0

    def files(self) -> dict[str, Node]:
        """Return the regular files only."""
        return {path: entry for path, entry in self.entries.items() if entry.kind is Kind.FILE}


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """What happened between two pictures; ``changed`` names the fields that differ, by path."""

    added: frozenset[str]
    removed: frozenset[str]
    changed: Mapping[str, frozenset[str]]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def take(root: str | os.PathLike[str]) -> Snapshot:
    """Take a picture of the tree below ``root``; a missing root gives an empty picture.

    Raises OSError when something other than a vanished name keeps us from looking.
    """
    entries: dict[str, Node] = {}
    vanished = 0
    pending = [""]
    try:
        top = os.lstat(root)
    except FileNotFoundError:
        return Snapshot(entries=MappingProxyType({}), exists=False)
    if not stat.S_ISDIR(top.st_mode):
        return Snapshot(entries=MappingProxyType({}), exists=False)
    while pending:
        folder = pending.pop()
        try:
            names = os.listdir(os.path.join(root, folder))
        except FileNotFoundError:
            vanished += 1
            continue
        for name in names:
            path = os.path.join(folder, name)
            try:
                entry = _read_entry(os.path.join(root, path))
            except FileNotFoundError:
                vanished += 1
                continue
            entries[path] = entry
            if entry.kind is Kind.DIRECTORY:
                pending.append(path)
    return Snapshot(entries=MappingProxyType(dict(sorted(entries.items()))), vanished=vanished)


def diff(before: Snapshot, after: Snapshot, *, ignore: frozenset[str] = frozenset()) -> Difference:
    """Compare two pictures; ``ignore`` names the fields of Node that do not count."""
    fields = [field for field in Node.__dataclass_fields__ if field not in ignore]
    changed = {}
    for path in before.entries.keys() & after.entries.keys():
        old, new = before.entries[path], after.entries[path]
        if differing := frozenset(f for f in fields if getattr(old, f) != getattr(new, f)):
            changed[path] = differing
    return Difference(
        added=frozenset(after.entries.keys() - before.entries.keys()),
        removed=frozenset(before.entries.keys() - after.entries.keys()),
        changed=MappingProxyType(dict(sorted(changed.items()))),
    )


def shift_mtimes(root: Path, seconds: float) -> int:
    """Make everything below ``root`` older by ``seconds``; returns how many names were shifted.

    Links are not followed, directories are shifted too, access times keep their distance.
    """
    shift_ns = round(seconds * 1_000_000_000)
    shifted = 0
    for folder, directories, files in os.walk(root):
        for name in (*directories, *files):
            path = os.path.join(folder, name)
            try:
                now = os.lstat(path)
                times = (now.st_atime_ns - shift_ns, now.st_mtime_ns - shift_ns)
                os.utime(path, ns=times, follow_symlinks=False)
            except FileNotFoundError:
                continue  # It was removed meanwhile: it has no age any more.
            shifted += 1
    return shifted


def _read_entry(path: str) -> Node:
    status = os.lstat(path)
    kind = _kind_of(status.st_mode)
    sha256: str | None = ""
    if kind is Kind.FILE:
        sha256 = _digest(path)
    return Node(
        kind=kind,
        size=status.st_size,
        mode=stat.S_IMODE(status.st_mode),
        nlink=status.st_nlink,
        uid=status.st_uid,
        inode=(status.st_dev, status.st_ino),
        mtime_ns=status.st_mtime_ns,
        sha256=sha256 or "",
        target=os.readlink(path) if kind is Kind.SYMLINK else "",
        readable=sha256 is not None,
    )


def _kind_of(mode: int) -> Kind:
    tests = {
        Kind.FILE: stat.S_ISREG,
        Kind.DIRECTORY: stat.S_ISDIR,
        Kind.SYMLINK: stat.S_ISLNK,
        Kind.FIFO: stat.S_ISFIFO,
        Kind.SOCKET: stat.S_ISSOCK,
    }
    return next((kind for kind, is_kind in tests.items() if is_kind(mode)), Kind.DEVICE)


def _digest(path: str) -> str | None:
    """Digest a regular file; None when we have no permission to read it."""
    # The name may have become a fifo or a link since it was looked at: neither is waited for or
    # followed.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = _open_without_touching(path, flags)
    except PermissionError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise FileNotFoundError(
                errno.ENOENT, "the file was replaced by a link", path
            ) from error
        raise
    digest = hashlib.sha256()
    with open(descriptor, "rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _open_without_touching(path: str, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_NOATIME)
    except PermissionError:
        # O_NOATIME is for the owner only (open(2)): reading is what matters.
        return os.open(path, flags)
