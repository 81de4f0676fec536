"""The whole content below a root, as a value.

Rule 1: a tree says all that a cache could find again after everything died: names, kinds,
        permission bits, bytes, holes, symlinks' texts, hard links, mtimes in ns; also the root's.
Rule 2: it does not say what no copy can bring back: inode numbers, ctimes, who held which lock.
        Owners, access times and extended attributes are left out: everything belongs to the owner
        of the root, and access times depend on how the file system is mounted.
Rule 3: no link is followed, and nothing that could block is opened.
Rule 4: taking it changes nothing. What may not be read is an error and is not made readable.
Rule 5: nothing below the root moves meanwhile: its processes are stopped, or gone.

The order of ``Tree.nodes`` is that of the directories' listings. Two trees are equal whatever the
order, but restoring brings it back where the file system lists by age (tmpfs): a collector may walk
in that order.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from untorn_conformance.probe import Kind

LIMIT_BYTES: Final = 256 << 20
"""How much content a tree may hold unless the caller says otherwise."""

PERMISSION_BITS: Final = 0o7777

Runs = tuple[tuple[int, bytes], ...]
"""The data of a file: offset and bytes of each run, ascending. What lies between is a hole."""

_SECOND_NS: Final = 1_000_000_000
_KINDS: Final = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFIFO: Kind.FIFO,
    stat.S_IFSOCK: Kind.SOCKET,
}
_READ_ONLY: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class TreeError(Exception):
    """A tree cannot be taken, or is none."""


class UnreadableError(TreeError):
    """Something below the root may not be read by us."""


@dataclass(frozen=True, slots=True)
class Node:
    """What one name stands for. ``mode`` is permission bits.

    ``size`` and ``runs`` are a regular file's, ``target`` is a symlink's text. Names of one
    ``group`` above 0 are hard links of one inode, numbered by their first name in sorted order.
    """

    kind: Kind
    mode: int
    mtime_ns: int
    size: int = 0
    runs: Runs = ()
    target: str = ""
    group: int = 0

    @property
    def content(self) -> bytes:
        """All bytes of a regular file, its holes as zeros."""
        if self.runs and len(self.runs[0][1]) == self.size:
            return self.runs[0][1]
        whole = bytearray(self.size)
        for offset, data in self.runs:
            whole[offset : offset + len(data)] = data
        return bytes(whole)


@dataclass(frozen=True, slots=True)
class Tree:
    """Nodes by their path below the root, a directory before what is in it; ``""`` is the root."""

    nodes: Mapping[str, Node]

    def shifted(self, by_ns: int) -> Tree:
        """Return the same tree, dated ``by_ns`` later, rounded down to whole seconds.

        So ages can be kept while real time goes on. A cache may stamp in a coarser grain than ns
        and take any other stamp for a stranger's: what is below a second stays as it is.
        """
        whole_ns = by_ns // _SECOND_NS * _SECOND_NS
        return Tree(
            {
                path: replace(node, mtime_ns=node.mtime_ns + whole_ns)
                for path, node in self.nodes.items()
            }
        )


def file_node(content: bytes, *, mode: int = 0o644, mtime_ns: int = 0) -> Node:
    """Return the node of a regular file without holes."""
    runs = ((0, content),) if content else ()
    return Node(Kind.FILE, mode, mtime_ns, len(content), runs)


def lost_bytes(before: Tree, after: Tree) -> int:
    """Bytes of the regular files that went: their name did, and no new name has their content."""
    moved = Counter(node.runs for path, node in after.nodes.items() if path not in before.nodes)
    lost = 0
    for path, node in before.nodes.items():
        if path not in after.nodes and node.kind is Kind.FILE:
            moved[node.runs] -= 1
            lost += node.size if moved[node.runs] < 0 else 0
    return lost


def capture(root: str | os.PathLike[str], *, limit_bytes: int = LIMIT_BYTES) -> Tree:
    """Take the tree below ``root``, which must be a directory and no link to one.

    Raises UnreadableError for what we may not read; TreeError for a root that is no directory, a
    device, content above ``limit_bytes``, and a file that shrank meanwhile; OSError as it comes.
    """
    top = os.path.abspath(root)  # With a slash at its end a link would be followed.
    status = os.lstat(top)
    if not stat.S_ISDIR(status.st_mode):
        raise TreeError(f"{top} is not a directory")
    taking = _Taking(limit_bytes)
    taking.nodes[""] = _plain_node(Kind.DIRECTORY, status)
    try:
        taking.walk(top)
    except PermissionError as error:
        raise UnreadableError(f"{error.filename} may not be read: {error.strerror}") from error
    return Tree(taking.grouped())


def read_runs(path: str, size: int) -> Runs:
    """Read the data of a regular file of ``size`` bytes, run by run.

    Space that is allocated and was never written counts as a hole, as lseek(2) sees it. Raises
    TreeError when the file is shorter than ``size``, OSError (ELOOP for a link) as it comes.
    """
    if not size:
        return ()
    descriptor = _open_untouched(path)
    try:
        return tuple(
            (start, _read_exactly(descriptor, start, end - start, path))
            for start, end in _data_ranges(descriptor, size)
        )
    finally:
        os.close(descriptor)


class _Taking:
    """A capture that is under way."""

    def __init__(self, limit_bytes: int) -> None:
        self.nodes: dict[str, Node] = {}
        self._limit_bytes = limit_bytes
        self._room_bytes = limit_bytes
        self._linked: dict[tuple[int, int], list[str]] = {}

    def walk(self, top: str) -> None:
        pending = [""]
        while pending:
            folder = pending.pop()
            prefix = f"{folder}/" if folder else ""
            base = f"{top}/{prefix}"
            inner = []
            for name in os.listdir(base):
                path = prefix + name
                full = base + name
                status = os.lstat(full)
                if stat.S_ISDIR(status.st_mode):
                    self.nodes[path] = _plain_node(Kind.DIRECTORY, status)
                    inner.append(path)
                elif status.st_nlink > 1:
                    self.nodes[path] = self._take_linked(path, full, status)
                else:
                    self.nodes[path] = self._take(full, status)
            pending += reversed(inner)

    def grouped(self) -> dict[str, Node]:
        """Number the hard links. A file whose other links are outside stands alone."""
        groups = sorted(sorted(paths) for paths in self._linked.values() if len(paths) > 1)
        for number, paths in enumerate(groups, start=1):
            for path in paths:
                self.nodes[path] = replace(self.nodes[path], group=number)
        return self.nodes

    def _take_linked(self, path: str, full: str, status: os.stat_result) -> Node:
        paths = self._linked.setdefault((status.st_dev, status.st_ino), [])
        paths.append(path)
        return self.nodes[paths[0]] if len(paths) > 1 else self._take(full, status)

    def _take(self, full: str, status: os.stat_result) -> Node:
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is Kind.FILE:
            mode = stat.S_IMODE(status.st_mode)
            runs = self._read(full, status)
            return Node(Kind.FILE, mode, status.st_mtime_ns, status.st_size, runs)
        if kind is None:
            raise TreeError(f"{full} is a device, which a tree cannot hold")
        if kind is Kind.SYMLINK:
            return _plain_node(kind, status, os.readlink(full))
        return _plain_node(kind, status)

    def _read(self, full: str, status: os.stat_result) -> Runs:
        # Judged before it is read: a runaway backend's file must not fill the memory. A sparse
        # file is small on disk, however large it says to be.
        if min(status.st_size, status.st_blocks * 512) > self._room_bytes:
            raise TreeError(f"the tree holds more than {self._limit_bytes} bytes, at {full}")
        runs = read_runs(full, status.st_size)
        self._room_bytes -= sum(len(data) for _, data in runs)
        return runs


def _plain_node(kind: Kind, status: os.stat_result, target: str = "") -> Node:
    mode = stat.S_IMODE(status.st_mode)
    return Node(kind, mode, status.st_mtime_ns, target=target)


def _open_untouched(path: str) -> int:
    try:
        return os.open(path, _READ_ONLY | os.O_NOATIME)
    except PermissionError:
        # O_NOATIME is for the owner only (open(2)): reading is what matters.
        return os.open(path, _READ_ONLY)


def _data_ranges(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    end = 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end


def _read_exactly(descriptor: int, start: int, length: int, path: str) -> bytes:
    data = os.pread(descriptor, length, start)
    while len(data) < length:
        more = os.pread(descriptor, length - len(data), start + len(data))
        if not more:
            raise TreeError(f"{path} shrank while it was read")
        data += more
    return data
