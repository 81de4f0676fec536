"""What lies below the root, under names that are the same in every run: the objects of dependence.

    i:X      the inode X: its attributes and its existence
    e:X/n    the entry called n in directory X
    o:X      the order and times of directory X: written by what changes its entries
    d:X      the data of file X
    l:X      the locks on X
    m:A      what threads and children of worker A share unseen, memory first of all
    #inodes  which inode numbers are free: written by what frees one, read by what takes one

An inode is named by its path at the start of the run, or by who made it and as its how manieth
(``A3``): that does not depend on the schedule, as inode numbers and paths do.

Source: gate_rules T2: dependence is on objects, not on strings.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Final

from untorn_stress.gate.calls import PathArgument
from untorn_stress.gate.target import AT_FDCWD, Target

INODES: Final = "#inodes"


@dataclass(slots=True)
class Place:
    """Where a path of a call leads: the entry below the root, and what is there now.

    ``parent`` and ``here`` are names of inodes, ``""`` where there is none or it is outside.
    ``walked`` are the entries that were read on the way.
    """

    parent: str
    entry: str
    here: str
    mode: int
    nlink: int
    walked: tuple[str, ...]

    @property
    def is_inside(self) -> bool:
        """Whether the call touches anything below the root."""
        return bool(self.parent or self.here)


OUTSIDE: Final = Place("", "", "", 0, 0, ())


class World:
    """The inodes below the root, as one run knows them."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        self._below = self.root + "/"
        self._device = 0
        self._names: dict[int, str] = {}
        self._made: dict[str, int] = {}

    def begin(self) -> None:
        """Start a run: name everything that is there now."""
        status = os.stat(self.root)
        self._device = status.st_dev
        self._names = {status.st_ino: "."}
        self._made = {}
        self._name_below(self.root, "")

    def _name_below(self, folder: str, prefix: str) -> None:
        try:
            with os.scandir(folder) as children:
                for child in children:
                    self._names.setdefault(child.inode(), prefix + child.name)
                    if child.is_dir(follow_symlinks=False):
                        self._name_below(child.path, f"{prefix}{child.name}/")
        except PermissionError:
            return  # nobody but root sees what is in there, so no step of ours touches it

    def holds(self, path: str) -> bool:
        """Whether a resolved path is that of the root or of something below it."""
        return path == self.root or path.startswith(self._below)

    def name_of(self, status: os.stat_result) -> str:
        """The name of an inode, ``""`` for one that is not below the root."""
        if status.st_dev != self._device:
            return ""
        return self._names.get(status.st_ino, "")

    def born(self, status: os.stat_result, actor: str) -> str:
        """Name a new inode after its maker."""
        count = self._made[actor] = self._made.get(actor, 0) + 1
        name = self._names[status.st_ino] = f"{actor}{count}"
        return name

    def adopt(self, status: os.stat_result, name: str) -> None:
        """Name an inode that appeared without a call that we saw."""
        self._names.setdefault(status.st_ino, name)

    # --- paths -----------------------------------------------------------------------------------

    def find(self, argument: PathArgument, target: Target) -> Place:
        """Resolve a path as the target's call would, links and ``..`` included."""
        path = os.fsdecode(argument.path)
        head, _, name = path.rstrip("/").rpartition("/")
        if path[:1] == "/":
            folder = head or "/"
            if not self._may_be_inside(path, argument.follow):
                return OUTSIDE
        else:
            base = f"/proc/{target.pid}/" + (
                "cwd" if argument.dirfd == AT_FDCWD else f"fd/{argument.dirfd}"
            )
            folder = f"{base}/{head}" if head else base
        if name in ("", ".", ".."):
            folder, name = (f"{folder}/{name}" if name else folder), ""
        return self._look(folder, name, argument.follow)

    def _may_be_inside(self, path: str, follow: bool) -> bool:
        """Whether an absolute path can lead below the root; most of a process' paths cannot."""
        if self.holds(path):
            return True
        if "/proc/" not in path and path.startswith(("/usr/", "/lib", "/etc/", "/dev/")):
            return False
        try:
            where = os.path.realpath(path if follow else os.path.dirname(path))
        except OSError:
            return False
        return self.holds(where)

    def _look(self, folder: str, name: str, follow: bool) -> Place:
        walked = self._walk(folder)
        try:
            above = os.stat(folder)
        except OSError:
            return (
                Place("", "", "", 0, 0, walked) if not walked else Place("?", "", "", 0, 0, walked)
            )
        parent = self.name_of(above)
        if not name:
            return Place("", "", parent, above.st_mode, above.st_nlink, walked)
        try:
            there = os.stat(f"{folder}/{name}", follow_symlinks=False)
        except OSError:
            return Place(parent, name, "", 0, 0, walked) if parent else OUTSIDE
        if follow and stat.S_ISLNK(there.st_mode):
            return self._follow(f"{folder}/{name}", parent, name, walked)
        here = self.name_of(there)
        if not parent and not here:
            return OUTSIDE
        return Place(parent, name, here, there.st_mode, there.st_nlink, walked)

    def _follow(self, link: str, parent: str, name: str, walked: tuple[str, ...]) -> Place:
        """The last component is a link: what it says is read, and where it leads is used."""
        end = os.path.realpath(link)
        through = self._look(os.path.dirname(end), os.path.basename(end), False)
        if parent:
            walked = (*walked, f"e:{parent}/{name}")
        if not through.is_inside:
            return Place(parent, name, "", 0, 0, walked) if parent else OUTSIDE
        through.walked = (*walked, *through.walked)
        return through

    def _walk(self, folder: str) -> tuple[str, ...]:
        """The entries below the root that a path goes through before its last component."""
        if not folder.startswith(self._below):
            return ()
        walked = []
        at, above = self.root, "."
        for part in folder[len(self._below) :].split("/"):
            if not part:
                continue
            walked.append(f"e:{above}/{part}")
            at = f"{at}/{part}"
            try:
                above = self.name_of(os.stat(at)) or "?"
            except OSError:
                break
        return tuple(walked)
