"""Bringing a root back to exactly one tree, in place: what agrees already is left alone.

Rule 1: a directory or file that can stay keeps its inode: workers may hold descriptors of it.
Rule 2: a file stays only if all its hard links are names of its group: writing through a link that
        leads out of the root would change a stranger's file.
Rule 3: directories are walked downwards, links made after the files, directories' modes and mtimes
        set last and upwards: each of these steps would undo a later one's.
Rule 4: every file is read and compared, whatever its stamps say: a store through a shared mapping
        need not change them (on tmpfs it never does), and a small file costs microseconds.
Rule 5: no link is followed; everything belongs to the owner of the root.
Rule 6: nothing else moves below the root meanwhile.

Rule 7: no ctime is the mtime afterwards: where the kernel set both at once they are equal, until a
        restoring has to set the mtime, and a cache that compares them would take one start for two.

Limits: ctimes, and the inode numbers of what had been removed, do not come back; what is given an
mtime gets the same atime.

Sources: inode(7), utimensat(2), chown(2).
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Final

from untorn_conformance.probe import Kind

from untorn_stress.tree import Node, Tree, read_runs
from untorn_stress.tree_order import reorder
from untorn_stress.tree_plan import FORMATS, Folder, Plan, plan
from untorn_stress.tree_removal import remove

_LOOK: Final = 0o500
_CHANGE: Final = 0o700
_WRITE_FLAGS: Final = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_PLANS: Final = 256


def restore(tree: Tree, root: str | os.PathLike[str]) -> bool:
    """Restore once, as Restorer.restore.

    What a Restorer learns only once, that the file system lists in an order of its own, is found
    out again: if the listing is not the tree's, every name of that directory is renamed twice.
    """
    return Restorer(root).restore(tree)


class Restorer:
    """Restores one root again and again: each tree is checked and spelled out once."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._root = os.path.abspath(root)  # With a slash at its end a link would be followed.
        self._plans: dict[int, Plan] = {}
        self._memory = _Memory()

    def restore(self, tree: Tree) -> bool:
        """Make the root hold exactly ``tree``; tell whether a name of it had to be made anew.

        What was only removed, rewritten in place, or given back its mode, order and times does not
        count: then every name of the tree stands for the inode that it stood for before. The
        directory above the root must exist.

        Raises InvalidTreeError for a value that cannot be restored. OSError comes as it is; the
        root is then somewhere in between, and the next call mends it.
        """
        return _Restoring(self._plan_of(tree), self._memory).run()

    def _plan_of(self, tree: Tree) -> Plan:
        known = self._plans.get(id(tree))  # A plan keeps its tree alive, so the id stays its own.
        if known is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            known = self._plans[id(tree)] = plan(tree, self._root)
        return known


@dataclass(slots=True)
class _Memory:
    """What outlives one restoring.

    ``owner`` is the root's, if we may give things to it. ``ordered`` is False once the file system
    did not let us choose the order of a listing.
    """

    owner: tuple[int, int] | None = None
    ordered: bool = True


class _Restoring:
    """One restoring. ``found`` is what was there and may stay, by full path."""

    def __init__(self, plan: Plan, memory: _Memory) -> None:
        self._plan = plan
        self._memory = memory
        self._found: dict[str, os.stat_result] = {}
        self._unfinished: set[str] = set()  # directories whose mtime or mode we have spoilt
        self._removed = False
        self._made = False

    def run(self) -> bool:
        self._find_root()
        different = [folder for folder in self._plan.folders if not self._sweep(folder)]
        if self._removed:
            self._count_links_again()
        for full, node in self._plan.alone:
            self._settle(full, node)
        for paths, node in self._plan.groups:
            self._settle_group(paths, node)
        for folder in different:
            self._settle_order(folder)
        for folder in reversed(self._plan.folders):
            self._finish_folder(folder)
        return self._made

    def _find_root(self) -> None:
        full = self._plan.folders[0].full
        try:
            status = os.lstat(full)
        except FileNotFoundError:
            self._make_folder(full)
            return
        if not stat.S_ISDIR(status.st_mode):
            os.unlink(full)
            self._make_folder(full)
            return
        self._found[full] = status
        if os.geteuid() == 0:
            self._memory.owner = (status.st_uid, status.st_gid)

    def _sweep(self, folder: Folder) -> bool:
        """Remove what is too much, make missing directories; False if the listing was different."""
        self._permit(folder.full, _LOOK)
        names = os.listdir(folder.full)
        for name in names:
            child = folder.children.get(name)
            full = child[0] if child else f"{folder.full}/{name}"
            status = os.lstat(full)
            if child and stat.S_IFMT(status.st_mode) == child[1]:
                self._found[full] = status
            else:
                self._remove(full, status)
        for full, file_format in folder.children.values():
            if file_format == stat.S_IFDIR and full not in self._found:
                self._permit_change_of(full)
                self._make_folder(full)
        return names == folder.names

    def _count_links_again(self) -> None:
        """Look again where there were several hard links: some may have been removed since."""
        for full, status in self._found.items():
            if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                self._found[full] = os.lstat(full)

    def _settle(self, full: str, node: Node) -> None:
        status = self._found.get(full)
        if status is not None and status.st_nlink > 1:
            self._remove(full, status)
            status = None
        self._settle_one(full, node, status)

    def _settle_group(self, paths: tuple[str, ...], node: Node) -> None:
        """Make the names one inode: one that has no other links, if there is any."""
        found = {full: self._found[full] for full in paths if full in self._found}
        inodes = [status.st_ino for status in found.values()]
        leader = next(
            (full for full, at in found.items() if inodes.count(at.st_ino) == at.st_nlink), None
        )
        kept = found[leader].st_ino if leader else None
        for full, status in found.items():
            if status.st_ino != kept:
                self._remove(full, status)
        leader = leader or paths[0]
        self._settle_one(leader, node, self._found.get(leader))
        for full in paths:
            if full != leader and full not in self._found:
                self._permit_change_of(full)
                os.link(leader, full, follow_symlinks=False)
                self._made = True

    def _settle_one(self, full: str, node: Node, status: os.stat_result | None) -> None:
        """Give one inode all that its node says; ``status`` is None if it is missing."""
        if node.kind is Kind.FILE:
            self._settle_file(full, node, status)
            return
        if status is not None and node.kind is Kind.SYMLINK and os.readlink(full) != node.target:
            self._remove(full, status)
            status = None
        if status is None:
            self._permit_change_of(full)
            if node.kind is Kind.SYMLINK:
                os.symlink(node.target, full)
            else:
                os.mknod(full, FORMATS[node.kind] | 0o600)
            self._made = True
        self._finish(full, node, status)

    def _settle_file(self, full: str, node: Node, status: os.stat_result | None) -> None:
        if status is None:
            self._permit_change_of(full)
            _write(full, node, os.O_CREAT | os.O_EXCL)
            self._made = True
        elif not _holds(full, node, status):
            if not status.st_mode & stat.S_IWUSR:
                os.chmod(full, 0o600)
            _write(full, node, 0)
            status = None
        self._finish(full, node, status)

    def _finish_folder(self, folder: Folder) -> None:
        status = None if folder.full in self._unfinished else self._found.get(folder.full)
        self._finish(folder.full, folder.node, status)

    def _finish(self, full: str, node: Node, status: os.stat_result | None) -> None:
        """Set what differs of owner, mode and mtime, all of it if ``status`` is None."""
        owner = self._memory.owner
        if owner is not None and (status is None or (status.st_uid, status.st_gid) != owner):
            os.chown(full, *owner, follow_symlinks=False)
            status = None  # It may have taken the set-id bits away.
        same_mode = status is not None and stat.S_IMODE(status.st_mode) == node.mode
        if not same_mode and node.kind is not Kind.SYMLINK:  # A symlink's mode is fixed.
            os.chmod(full, node.mode)
        is_dated = status is not None and status.st_mtime_ns == node.mtime_ns != status.st_ctime_ns
        if not is_dated:
            os.utime(full, ns=(node.mtime_ns, node.mtime_ns), follow_symlinks=False)

    def _settle_order(self, folder: Folder) -> None:
        if self._memory.ordered and os.listdir(folder.full) != folder.names:
            self._permit(folder.full, _CHANGE)
            self._unfinished.add(folder.full)
            self._memory.ordered = reorder(folder.full, folder.names)

    def _remove(self, full: str, status: os.stat_result) -> None:
        self._permit_change_of(full)
        remove(full, status)
        self._found.pop(full, None)
        self._removed = True

    def _make_folder(self, full: str) -> None:
        os.mkdir(full, _CHANGE)
        os.chmod(full, _CHANGE)  # whatever the umask
        self._unfinished.add(full)
        self._made = True

    def _permit_change_of(self, full: str) -> None:
        """Prepare the directory that holds the name for its change."""
        above = os.path.dirname(full)
        self._permit(above, _CHANGE)
        self._unfinished.add(above)

    def _permit(self, folder: str, need: int) -> None:
        """Give ourselves the permission on a directory; its own comes back at the end."""
        if folder in self._unfinished:
            return  # It has had it, for whatever spoilt it.
        status = self._found.get(folder)
        if status is not None and status.st_mode & need != need:
            os.chmod(folder, _CHANGE)
            self._unfinished.add(folder)


def _holds(full: str, node: Node, status: os.stat_result) -> bool:
    """Tell whether a file's data and holes are the node's."""
    if status.st_size != node.size:
        return False
    try:
        return read_runs(full, node.size) == node.runs
    except PermissionError:
        return False  # What cannot be compared is written again.


def _write(full: str, node: Node, flags: int) -> None:
    """Write a file's data over what is there, with its holes."""
    descriptor = os.open(full, _WRITE_FLAGS | flags, 0o600)
    try:
        whole = len(node.runs) == 1 and len(node.runs[0][1]) == node.size
        if not whole:
            os.ftruncate(descriptor, 0)
        for offset, data in node.runs:
            written = 0
            while written < len(data):
                written += os.pwrite(descriptor, data[written:], offset + written)
        os.ftruncate(descriptor, node.size)
    finally:
        os.close(descriptor)
