"""What lies below the root, under names that are the same in every run: the objects of dependence.

    i:X      the inode X: its attributes and its existence
    e:X/n    the entry called n in directory X
    o:X      what directory X lists, and in which order: written by what changes its entries
    z:X      whether directory X has any entries
    n:X      the inode number of X, where it was taken in this run
    h:X      who holds X open, where inode numbers are seen
    t:X      what these leave in the stat of X: its times, its size, its count of links
    p:X      whether directory X may be searched: its mode and owner, and that it was not removed
    d:X      the data of file X
    l:X      the locks on X
    m:A      what threads and children of worker A share unseen, memory first of all
    #inodes  which inode numbers are free: written by what frees one, read by what takes one

An inode is named by its path at the start of the run, or by who made it and as its how manieth
(``A3``): that does not depend on the schedule, as inode numbers and paths do. In an entry's name a
worker's process id, set off by other signs, is its letter. When the last name of an inode has gone,
its number may come to be that of a file elsewhere, which is none of ours.

Source: gate_rules T2: dependence is on objects, not on strings.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from untorn_stress.gate.calls import PathArgument
from untorn_stress.gate.target import AT_FDCWD, Target

INODES: Final = "#inodes"
_DECIDING: Final = ("e:", "p:", "i:", "l:", "m:")
_REMAINING: Final = ("e:", "p:", "i:", "d:", "said:")
_MOST_LINKS: Final = 40
_DELETED: Final = " (deleted)"
_NOBODY: Final = re.compile(r"(?!)")
_DOOR: Final = re.compile(r"/proc/[0-9]+(?:/task/[0-9]+)?/(?:cwd|root|exe|fd/[0-9]+)")


@dataclass(slots=True)
class Place:
    """Where a path of a call leads: the entry below the root, and what is there now.

    ``parent`` and ``here`` are names of inodes, ``""`` where there is none or it is outside.
    ``walked`` are the entries that were read on the way, and the directories that were searched.
    ``number`` is the inode number of what is there, 0 for nothing.
    """

    parent: str
    entry: str
    here: str
    mode: int
    nlink: int
    walked: tuple[str, ...]
    number: int = 0

    @property
    def is_inside(self) -> bool:
        """Whether the call touches anything below the root."""
        return bool(self.parent or self.here or self.walked)


OUTSIDE: Final = Place("", "", "", 0, 0, ())


def decides(name: str) -> bool:
    """Whether the object can decide who is on offer, and what a pending call would touch.

    That is what its paths lead to and which locks are held; not what is in a file, what a directory
    lists, or a stamp.
    """
    return name.startswith(_DECIDING)


def remains(name: str) -> bool:
    """Whether the object is part of what a run leaves, as it is looked at (``tree_digest``).

    That are entries with their inodes and data, and what was answered; no stamps, no inode numbers,
    no order of a listing and, since the workers are gone, no locks.
    """
    return name.startswith(_REMAINING)


class World:
    """The inodes below the root, as one run knows them.

    ``root`` may lead through links: those who resolve it meet the gate under its other name.
    """

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)
        self._below = self.root + "/"
        self._spelt = os.path.abspath(root) + "/"
        self._device = 0
        self.block_bytes = 0
        self._names: dict[int, str] = {}
        self._nameless: set[int] = set()
        self._made: dict[str, int] = {}
        self._letters: dict[str, str] = {}
        self._pid = _NOBODY
        self._entries: dict[str, str] = {}
        self.lies_told = 0

    def begin(self, letters: Mapping[int, str] = MappingProxyType({})) -> None:
        """Start a run: name everything that is there now; ``letters`` are those of processes."""
        self._letters = {str(pid): letter for pid, letter in letters.items()}
        of_any = "|".join(self._letters)
        self._pid = (
            re.compile(rf"(?<![0-9A-Za-z])(?:{of_any})(?![0-9A-Za-z])") if of_any else _NOBODY
        )
        status = os.stat(self.root)
        self._device = status.st_dev
        self.block_bytes = os.statvfs(self.root).f_bsize
        self._names = {status.st_ino: "."}
        self._nameless = set()
        self._made = {}
        self._entries = {}
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

    def entry(self, name: str) -> str:
        """What an entry of that name is called in every run."""
        known = self._entries.get(name)
        if known is None:
            known = self._pid.sub(lambda found: self._letters[found.group()], name)
            self._entries[name] = known
        return known

    def holds(self, path: str) -> bool:
        """Whether a resolved path is that of the root or of something below it."""
        return path == self.root or path.startswith(self._below)

    def name_of(self, status: os.stat_result, door: str = "") -> str:
        """The name of an inode, ``""`` for one that is not below the root.

        ``door`` is the link in /proc by which it was found. It tells a nameless temporary file
        elsewhere (O_TMPFILE) that got the number of a removed one from that one, still open.
        """
        if status.st_dev != self._device:
            return ""
        number = status.st_ino
        if not status.st_nlink:
            if door and number in self._names and self._leads_elsewhere(door):
                return ""
        elif number in self._nameless:  # another has the number now
            self._nameless.discard(number)
            self._names.pop(number, None)
        return self._names.get(number, "")

    def _leads_elsewhere(self, door: str) -> bool:
        try:
            return not self.holds(os.readlink(door).removesuffix(_DELETED))
        except OSError:
            return False

    def unlinked(self, place: Place) -> None:
        """A name of what was at the place has gone, the last one perhaps."""
        if place.number and (stat.S_ISDIR(place.mode) or place.nlink <= 1):
            self._nameless.add(place.number)

    def born(self, status: os.stat_result, actor: str) -> str:
        """Name a new inode after its maker."""
        count = self._made[actor] = self._made.get(actor, 0) + 1
        name = self._names[status.st_ino] = f"{actor}{count}"
        self._nameless.discard(status.st_ino)
        return name

    def adopt(self, status: os.stat_result, name: str) -> None:
        """Name an inode that appeared without a call that we saw."""
        self._names.setdefault(status.st_ino, name)

    # --- paths -----------------------------------------------------------------------------------

    def find(self, argument: PathArgument, target: Target) -> Place:
        """Resolve a path as the target's call would, links and ``..`` included."""
        path = os.fsdecode(argument.path)
        follow = argument.follow or path.endswith(("/", "/."))
        base, below = "/", path
        if path.startswith(self._below):
            base, below = self.root, path[len(self._below) :]
        elif path.startswith(self._spelt):
            base, below = self.root, path[len(self._spelt) :]
        elif path[:1] == "/":
            if not self._may_be_inside(path, follow):
                return OUTSIDE
        else:
            door = "cwd" if argument.dirfd == AT_FDCWD else f"fd/{argument.dirfd}"
            base = f"/proc/{target.pid}/{door}"
        return _Walk(self, base, below, follow).place()

    def _may_be_inside(self, path: str, follow: bool) -> bool:
        """Whether an absolute path can lead below the root; most of a process' paths cannot."""
        if self.holds(path) or "/proc/" in path:
            return True
        if path.startswith(("/usr/", "/lib", "/etc/", "/dev/")):
            return False
        try:
            where = os.path.realpath(path if follow else os.path.dirname(path))
        except OSError:
            return False
        return self.holds(where)


class _Walk:
    """One path from a directory on, component by component, as the kernel goes."""

    __slots__ = ("_at", "_follow", "_links", "_parts", "_walked", "_world")

    def __init__(self, world: World, base: str, below: str, follow: bool) -> None:
        self._world = world
        self._at = base
        self._parts = [part for part in reversed(below.split("/")) if part not in ("", ".")]
        self._follow = follow
        self._walked: list[str] = []
        self._links = 0

    def place(self) -> Place:
        """Where it leads."""
        try:
            status = os.stat(self._at)
        except OSError:
            return OUTSIDE
        world, parts = self._world, self._parts
        while parts:
            name = parts.pop()
            parent = world.name_of(status)
            if parent:
                self._walked.append(f"i:{parent}" if name == ".." else f"p:{parent}")
            below = f"{self._at.rstrip('/')}/{name}"  # a door is known by its one spelling
            try:
                there = os.lstat(below)
            except OSError:
                return self._missing(parent, name)
            is_last = not parts
            if stat.S_ISLNK(there.st_mode) and (self._follow or not is_last):
                self._looked_up(parent, name)
                next_status = self._pass_link(below)
                if next_status is None:
                    return self._nowhere()
                status = next_status or status
            elif is_last and name != "..":
                return self._found(parent, world.entry(name), world.name_of(there), there)
            else:
                self._looked_up(parent, name)
                self._at, status = below, there
        door = self._at if _DOOR.fullmatch(self._at) else ""
        return self._found("", "", world.name_of(status, door), status)

    def _found(self, parent: str, entry: str, here: str, there: os.stat_result) -> Place:
        mode, nlink, walked = there.st_mode, there.st_nlink, tuple(self._walked)
        return Place(parent, entry, here, mode, nlink, walked, there.st_ino if here else 0)

    def _nowhere(self) -> Place:
        return Place("?", "", "", 0, 0, tuple(self._walked)) if self._walked else OUTSIDE

    def _missing(self, parent: str, name: str) -> Place:
        if not self._parts and parent:
            return Place(parent, self._world.entry(name), "", 0, 0, tuple(self._walked))
        self._looked_up(parent, name)
        return self._nowhere()

    def _looked_up(self, parent: str, name: str) -> None:
        if parent and name != "..":
            self._walked.append(f"e:{parent}/{self._world.entry(name)}")

    def _pass_link(self, link: str) -> os.stat_result | Literal[False] | None:
        """Go where a link leads: the directory's stat, False for the same one, None for nowhere."""
        self._links += 1
        if self._links > _MOST_LINKS:
            return None
        try:
            text = os.readlink(link)
            if _DOOR.fullmatch(link):  # it opens even where its text is no path any more
                self._at = link
                return os.stat(link)
            self._parts += [part for part in reversed(text.split("/")) if part not in ("", ".")]
            if text[:1] != "/":
                return False
            self._at = "/"
            return os.stat("/")
        except OSError:
            return None
