"""Two calls that share no object commute on a real file system: each pair of them is tried.

A pair is made in both orders from the same tree. What each answered, what it touched and what is
there in the end is the same, unless the footprints conflict. Where one conflicts with the other
only over objects that it does not see, its answer and what it touched are the same all the same.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import stat
import struct
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from untorn_stress.gate import abi, footprints, statx
from untorn_stress.gate.calls import (
    AT_EMPTY_PATH,
    AT_REMOVEDIR,
    AT_SYMLINK_NOFOLLOW,
    FORMS,
    Call,
    PathArgument,
)
from untorn_stress.gate.footprints import Touched
from untorn_stress.gate.target import AT_FDCWD, Target
from untorn_stress.gate.world import Place, World
from untorn_stress.schedulers.knowledge import Knowledge
from untorn_stress.schedulers.protocol import Executed, Footprint

OLD_S = 1000
FOLDERS = ("d", "e", "d/s", "e/s")
FILES = ("d/f", "e/f", "g")
ENTRY = struct.Struct("=QqHB")
STATX = struct.Struct("=4x4x8xIIIH2x8xQ8x8x48xq")  # nlink, uid, gid, mode, size, mtime
LITTLE = statx.TYPE | statx.MODE
MUCH = 0x7FF


Make = Callable[[dict[str, int]], object]
Came = tuple[object, Footprint]


@dataclass(frozen=True, slots=True)
class Deed:
    """One call: its name, the paths in it, and how to make it; ``below`` the descriptor it has."""

    name: str
    paths: tuple[str, ...]
    make: Make
    below: str = ""
    flags: int = 0
    mask: int = 0

    def __str__(self) -> str:
        return f"{self.name} {' '.join((*self.paths, self.below))} {self.mask or ''}"


def told(status: os.stat_result) -> tuple[object, ...]:
    """What stat says that two runs can share: a stamp of now is one."""
    stamp = status.st_mtime if status.st_mtime < 2 * OLD_S else "now"
    return status.st_mode, status.st_nlink, status.st_size, stamp


def listing(fd: int) -> list[tuple[bytes, int]]:
    """Names and kinds in order, without the library, which hides what is said of a removed one."""
    room = ctypes.create_string_buffer(4096)
    os.lseek(fd, 0, os.SEEK_SET)
    found, at = [], 0
    size = abi.syscall(abi.NUMBER["getdents64"], fd, ctypes.addressof(room), len(room))
    while at < size:
        _, _, length, kind = ENTRY.unpack_from(room, at)
        found.append((room.raw[at + ENTRY.size : at + length].split(b"\0")[0], kind))
        at += length
    return found


def look(path: str) -> object:
    return told(os.lstat(path))


def look_at(fd: int) -> object:
    return told(os.fstat(fd))


def ask(path: str, mask: int, fd: int = AT_FDCWD) -> object:
    """A statx as it is told at the gate, which performs it where it asks for little."""
    room = ctypes.create_string_buffer(statx.BYTES)
    flags = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH
    abi.syscall(abi.NUMBER["statx"], fd, path.encode(), flags, mask, room)
    told = statx.blanked(room.raw, mask, 4096) if statx.asks_little(mask) else room.raw
    nlink, uid, gid, mode, size, mtime_s = STATX.unpack_from(told)
    return nlink, uid, gid, mode, size, mtime_s if mtime_s < 2 * OLD_S else "now"


def may_search(path: str) -> object:
    abi.syscall(abi.NUMBER["faccessat"], AT_FDCWD, path.encode(), os.X_OK)
    return "may"


def go_into(path: str) -> None:
    """Go there, and back."""
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(path)
        os.fchdir(here)
    finally:
        os.close(here)


def go_to(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY))


def on(make: Callable[..., object], *arguments: Any) -> Make:
    return lambda _fds: make(*arguments)


def by(make: Callable[[int], object], path: str) -> Make:
    return lambda fds: make(fds[path])


def one_path() -> Iterator[Deed]:
    for number, path in enumerate((*FOLDERS, *FILES, "d/new", "d/s/new")):
        at_s = OLD_S + 1 + number
        yield Deed("newfstatat", (path,), on(look, path))
        yield Deed("statx", (path,), on(ask, path, LITTLE), mask=LITTLE)
        yield Deed("statx", (path,), on(ask, path, MUCH), mask=MUCH)
        yield Deed("faccessat", (path,), on(may_search, path))
        yield Deed("readlinkat", (path,), on(os.readlink, path))
        yield Deed("chdir", (path,), on(go_into, path))
        yield Deed("openat", (path,), on(go_to, path))
        yield Deed("utimensat", (path,), on(os.utime, path, (at_s, at_s)))
        yield Deed("fchmodat", (path,), on(os.chmod, path, 0o711))
        yield Deed("mkdirat", (path,), on(os.mkdir, path))
        yield Deed("unlinkat", (path,), on(os.unlink, path))
        yield Deed("unlinkat", (path,), on(os.rmdir, path), flags=AT_REMOVEDIR)
        yield Deed("truncate", (path,), on(os.truncate, path, 9))


def two_paths() -> Iterator[Deed]:
    for pair in (
        *(("d/s", "e/s"), ("e/s", "d/new"), ("d", "new"), ("d/f", "e/f"), ("g", "d/new")),
        *(("d/s", "e"), ("d/f", "d/new"), ("e/f", "d/s")),
    ):
        yield Deed("renameat2", pair, on(os.rename, *pair))
        yield Deed("linkat", pair, on(os.link, *pair))


def by_descriptor() -> Iterator[Deed]:
    for path in FOLDERS:
        yield Deed("getdents64", (), by(listing, path), below=path)
        yield Deed("statx", (), by(partial(ask, "", LITTLE), path), below=path, mask=LITTLE)
    for path in (*FOLDERS, "g"):
        yield Deed("fstat", (), by(look_at, path), below=path)


DEEDS = (*one_path(), *two_paths(), *by_descriptor())


class Field:
    """A directory in which deeds are done, from the same tree each time."""

    def __init__(self) -> None:
        # On tmpfs a listing has the order in which names were made, and a size for each.
        memory = Path("/dev/shm")
        base = memory if os.access(memory, os.W_OK) else None
        self.root = Path(tempfile.mkdtemp(prefix="untorn-commute-", dir=base))
        self.target = Target(os.getpid())

    def both(self, one: Deed, other: Deed) -> tuple[Came, Came, list[str]]:
        """What came of the two in this order: answers, footprints, and what is left."""
        shutil.rmtree(self.root)
        self.root.mkdir()
        os.chdir(self.root)
        for folder in FOLDERS:
            os.mkdir(folder)
        for file in FILES:
            Path(file).touch()
        for path in (*FILES, *reversed(FOLDERS), "."):
            os.utime(path, (OLD_S, OLD_S))
        world = World(str(self.root))
        world.begin()
        fds = {path: os.open(path, os.O_RDONLY) for path in (*FOLDERS, "g")}
        try:
            first = self._do(one, world, fds)
            second = self._do(other, world, fds)
        finally:
            for fd in fds.values():
                os.close(fd)
        return first, second, sorted(self._left())

    def _do(self, deed: Deed, world: World, fds: dict[str, int]) -> Came:
        paths = [
            PathArgument(AT_FDCWD, f"{self.root}/{each}".encode(), False) for each in deed.paths
        ]
        call = Call(deed.name, FORMS[deed.name], (0, 0, 0, deed.mask), paths, flags=deed.flags)
        call.asks_little = deed.name == "statx" and statx.asks_little(deed.mask)
        places = [world.find(each, self.target) for each in paths]
        named = [world.name_of(os.fstat(fds[deed.below]))] if deed.below else []
        touched = Touched(inodes=True)
        try:
            answer = deed.make(fds)
        except OSError as error:
            footprints.touch(touched, call, places, named, failed=True)
            return error.errno, touched.footprint()
        footprints.touch(touched, call, places, named, failed=False)
        if deed.name in ("unlinkat", "renameat2"):
            world.unlinked(places[-1])
        return answer, touched.footprint()

    def _left(self) -> Iterator[str]:
        for folder, _, files in os.walk("."):
            yield f"{folder}: {told(os.stat(folder))} {os.listdir(folder)}"
            for file in files:
                yield f"{folder}/{file}: {told(os.lstat(f'{folder}/{file}'))}"


@pytest.fixture
def field(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Field]:
    monkeypatch.chdir(tmp_path)
    made = Field()
    yield made
    os.chdir(tmp_path)
    made.target.close()
    shutil.rmtree(made.root)


def wrong_pairs(field: Field) -> Iterator[str]:
    """The pairs that were said to commute, and did not."""
    for one, other in itertools.combinations(DEEDS, 2):
        first, second, left = field.both(one, other)
        if first[1].conflicts(second[1]):
            continue
        if field.both(other, one) != (second, first, left):
            yield f"{one} and {other}"


def test_what_shares_no_object_commutes(field: Field) -> None:
    assert list(wrong_pairs(field)) == []


def wrongly_unseen(field: Field) -> Iterator[str]:
    """The pairs of which the second was said to see nothing of the first, and did."""
    for one, other in itertools.permutations(DEEDS, 2):
        first, second, _ = field.both(one, other)
        if not first[1].conflicts(second[1]) or first[1].writes & second[1].seen:
            continue
        if field.both(other, one)[0] != second:
            yield f"{other} after {one}"


def test_what_is_unseen_tells_nothing(field: Field) -> None:
    assert list(wrongly_unseen(field)) == []


@pytest.mark.parametrize("closed", [False, True])
def test_whether_what_goes_is_still_open_decides_which_inode_is_free(closed: bool) -> None:
    """Nobody sees it at once: who makes a file then and looks at it does."""

    def known(*, closes: bool) -> bytes:
        order, place = Knowledge(), Place("d", "f", "X", stat.S_IFREG, 1, ("p:d",), 7)
        steps = [("A", "openat"), *[("A", "close")] * closes, ("B", "unlinkat"), ("B", "openat")]
        for actor, name in steps:
            touched = Touched(inodes=True)
            if name == "close":
                touched.let_go(["X"], nameless=False)
            elif (actor, name) == ("B", "openat"):
                touched.took_inode(replace(place, entry="g", here=""))
                touched.was_born("B1")
            else:
                call = Call(name, FORMS[name], ())
                footprints.touch(touched, call, [place], [], failed=False)
            order.add(Executed(actor, actor, touched.footprint()))
        looks = Touched(inodes=True)
        looks.saw("B1")
        order.add(Executed("B", "B", looks.footprint()))
        return order.of("B")

    assert (known(closes=closed) == known(closes=True)) == closed


def unseen(kind: str) -> Callable[[Touched], Footprint]:
    """Takes objects of a kind for such as nobody sees."""
    whole = Touched.footprint

    def footprint(self: Touched) -> Footprint:
        found = whole(self)
        more = {name for name in found.seen if name[0] == kind}
        return found._replace(unseen=found.unseen | more)

    return footprint


@pytest.mark.parametrize("kind", "eiotz")
def test_what_is_seen_and_said_not_to_be_is_noticed(
    field: Field, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Touched, "footprint", unseen(kind))
    assert next(wrongly_unseen(field), None)


def without(kinds: str) -> Callable[[Touched, Place], None]:
    """What an entry's change would be without writing these objects of the directory."""
    whole = Touched.changed_entry

    def changed(self: Touched, place: Place) -> None:
        kept = {name for name in self._written_unseen if name[0] in kinds}
        whole(self, place)
        self._written_unseen -= {name for name in self._written_unseen if name[0] in kinds} - kept

    return changed


def nothing(_touched: Touched, _name: str) -> None:
    """Takes what a directory lists for nothing to look at."""


def only_itself(self: Touched, name: str) -> None:
    """Takes the stamps of a directory for its own alone."""
    self.writes.add(f"i:{name}")


def still_there(self: Touched, place: Place) -> None:
    """Takes a removed directory for one that can be listed as before."""
    self.writes.update((f"i:{place.here}", f"p:{place.here}", "#inodes"))


def test_a_statx_that_is_told_more_than_it_asks_for_is_noticed(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statx, "blanked", lambda filled, _mask, _block_bytes: filled)
    assert "statx" in next(wrong_pairs(field), "")


@pytest.mark.parametrize(
    ("name", "unsound"),
    [
        ("changed_entry", without("t")),
        ("changed_entry", without("o")),
        ("listed", nothing),
        ("changed", only_itself),
        ("freed_inode", still_there),
    ],
    ids=["stat", "listing", "listed", "stamps", "removed"],
)
def test_a_directory_that_is_split_wrongly_is_noticed(
    field: Field, name: str, unsound: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Touched, name, unsound)
    assert next(wrong_pairs(field), None)
