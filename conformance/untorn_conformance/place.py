"""Where an entry lies: found by comparing the tree around its publish, and broken there.

The suite knows no backend's layout. What a publish adds to the tree is the entry's place, if it is
one thing and holds every frame as a file; anything else is ambiguous, and then nothing can be said.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from untorn_stress.worker import Worker

from untorn_conformance import moves, probe
from untorn_conformance.cases import unknown
from untorn_conformance.farm import Farm


class Damage(StrEnum):
    """What an outsider does to an entry, or leaves in its place."""

    THINNED = "thinned"  # one frame is gone
    TRUNCATED = "truncated"  # one frame has lost its end
    ZEROED = "zeroed"  # one frame has its size and no content
    FLIPPED = "flipped"  # one bit of one frame is another
    EMPTIED = "emptied"  # every file is gone, the directories are there
    FRAMELESS = "frameless"  # every frame is gone, whatever else there was is there
    STRAY_FILE = "stray-file"
    STRAY_SYMLINK = "stray-symlink"  # to the whole entry, which was moved out of the cache
    STRAY_DIRECTORY = "stray-directory"  # with a file that is no part of any entry


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """An entry on disk: its ``path``, and the file of each frame by the frame's name."""

    path: Path
    frames: Mapping[str, Path]


def put_and_find(
    farm: Farm, worker: Worker, label: str, contents: Mapping[str, bytes] | None = None
) -> Place:
    """Publish under the label's key, hold nothing, and find the entry.

    Ends the case as unknown where the place is ambiguous. The frames must be unlike all others.
    """
    contents = moves.frames(label) if contents is None else contents
    neighbour = f"a neighbour of {label}"  # makes whatever directories all entries share
    moves.put(farm, worker, neighbour, moves.frames(neighbour))
    before = farm.tree()
    moves.put(farm, worker, label, contents)
    return _place(farm, before, farm.tree(), contents)


def _place(
    farm: Farm, before: probe.Snapshot, after: probe.Snapshot, contents: Mapping[str, bytes]
) -> Place:
    added = probe.diff(before, after).added
    frames = {}
    for name, digest in zip(contents, moves.digests(contents.values()), strict=True):
        found = [path for path in added if after.entries[path].sha256 == digest]
        if len(found) != 1:
            unknown(f"the publish left {len(found)} files with the bytes of {name}")
        frames[name] = found[0]
    tops = {_top(path, added) for path in frames.values()}
    if len(tops) != 1:
        unknown(f"the publish put its frames into {len(tops)} places")
    path = tops.pop()
    while after.entries[path].kind is probe.Kind.DIRECTORY:
        children = [each for each in added if os.path.dirname(each) == path]
        if len(children) != 1 or after.entries[children[0]].kind is not probe.Kind.DIRECTORY:
            break
        path = children[0]  # the directory above is made for many keys, not for this one
    root = farm.root
    return Place(path=root / path, frames={name: root / each for name, each in frames.items()})


def _top(path: str, added: frozenset[str]) -> str:
    """The highest directory above ``path`` that was added with it."""
    while os.path.dirname(path) in added:
        path = os.path.dirname(path)
    return path


def damage(farm: Farm, place: Place, kind: Damage) -> None:
    """Do it to the entry, behind the backend's back; mtimes become those of now."""
    victim = list(place.frames.values())[-1]
    if kind is Damage.THINNED:
        victim.unlink()
    elif kind is Damage.FRAMELESS:
        for frame in place.frames.values():
            frame.unlink()
    elif kind is Damage.TRUNCATED:
        _rewrite(victim, victim.read_bytes()[:-1])
    elif kind is Damage.ZEROED:
        _rewrite(victim, bytes(victim.stat().st_size))
    elif kind is Damage.FLIPPED:
        content = victim.read_bytes()
        _rewrite(victim, bytes([content[0] ^ 1]) + content[1:])
    elif kind is Damage.EMPTIED:
        for folder, _, files in os.walk(place.path):
            for name in files:
                os.unlink(os.path.join(folder, name))
    else:
        _replace(farm, place.path, kind)


@contextlib.contextmanager
def times_put_back(place: Place) -> Iterator[None]:
    """Whatever is done inside, the times of what is still there are as before."""
    folders = [place.path.parent, place.path, *(each.parent for each in place.frames.values())]
    before = {path: path.stat() for path in (*place.frames.values(), *folders)}
    yield
    for path, status in before.items():
        if os.path.lexists(path):
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def _rewrite(path: Path, content: bytes) -> None:
    """Write in place, as somebody who may do what the file's mode forbids its owner."""
    mode = path.stat().st_mode
    path.chmod(0o600)
    path.write_bytes(content)
    path.chmod(mode)


def _replace(farm: Farm, path: Path, kind: Damage) -> None:
    aside = farm.outside / f"moved-out-{path.name}"
    shutil.move(path, aside)
    if kind is Damage.STRAY_FILE:
        path.write_bytes(b"stray")
    elif kind is Damage.STRAY_SYMLINK:
        path.symlink_to(aside)
    else:
        path.mkdir(mode=0o700)
        (path / "stray").write_bytes(b"stray")
