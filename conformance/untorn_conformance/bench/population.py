"""Entries to measure on, made fast."""

from __future__ import annotations

import os
import time
from pathlib import Path

from untorn import Cache, Frames, accounting, derive_key, layout, lookup, manifest, syscalls
from untorn.manifest import StagedFrame
from untorn.root import Root

from untorn_conformance.bench.peers import frame_names
from untorn_conformance.bench.plan import Say

NEVER_OVER = 1 << 60  # a budget that is compared and never exceeded
_READ_ONLY = 0o444
_SAY_EVERY = 20_000
_ONE_FRAME = frame_names(1)[0]


def open_cache(root: Path) -> Cache:
    """The reference on `root`, whatever the environment says."""
    return Cache.open(root, budget_bytes=NEVER_OVER, environ={})


def root_of(cache: Cache) -> Root:
    """The open root of a cache that is not degraded."""
    root = cache.access.root()
    assert root is not None, f"the benchmark's own root cannot be used: {cache.degraded}"
    return root


def found(cache: Cache, key: str) -> Frames:
    """The leased frames of an entry that is known to be there."""
    frames = cache.lookup(key)
    assert isinstance(frames, Frames), f"the benchmark's own entry is a miss: {frames}"
    return frames


def write_frames(directory: str, count: int, content: bytes) -> None:
    """Write `count` frames as the decoder leaves them: read-only."""
    fd = os.open(directory, syscalls.DIRECTORY_FLAGS)
    try:
        for name in frame_names(count):
            _write(name, content, fd)
    finally:
        os.close(fd)


def publish_entry(cache: Cache, key: str, count: int, content: bytes) -> str:
    """Publish an entry through the cache itself; its directory."""
    with cache.stage(key) as area:
        write_frames(area.path, count, content)
        with area.publish() as frames:
            return frames.directory


def plain_entry(directory: Path, count: int, content: bytes, *, sentinel: str | None = None) -> str:
    """A directory of frames that no cache knows, for the floors; its path."""
    directory.mkdir()
    write_frames(str(directory), count, content)
    if sentinel is not None:
        (directory / sentinel).touch()
    return str(directory)


def populate(root: Root, count: int, say: Say) -> None:
    """Put `count` whole entries of one one-byte frame below `root`, with the counter.

    They are what `publish` would have left, made without its rename and its locks.
    """
    now = time.time()
    total = 0
    for number in range(count):
        key = derive_key("population", str(number))
        total += _make_entry(root, key, lookup.stamp_ns(now))
        if number and number % _SAY_EVERY == 0:
            say(f"  {number} of {count} entries made")
    accounting.add(root, count, total)


def _make_entry(root: Root, key: str, stamp_ns: int) -> int:
    """One entry; its bytes."""
    text = manifest.render(key, [StagedFrame(name=_ONE_FRAME, size=1)], root.boot_id)
    os.mkdir(key, 0o700, dir_fd=root.entries_fd)
    with syscalls.opened(key, syscalls.DIRECTORY_FLAGS, dir_fd=root.entries_fd) as fd:
        _write_hole(_ONE_FRAME, 1, fd)
        _write(layout.MANIFEST, text, fd)
        os.utime(fd, ns=(stamp_ns, stamp_ns))
    return 1 + len(text)


def make_frame_tree(home: Path, entries: int, frames: int, say: Say) -> None:
    """`entries` directories of `frames` empty files: what a scan of every frame has to walk."""
    for number in range(entries):
        plain_entry(home / derive_key("tree", str(number)), frames, b"")
        if number and number % (_SAY_EVERY // 10) == 0:
            say(f"  frames of {number} of {entries} entries made")


def _write_hole(name: str, size: int, dir_fd: int) -> None:
    """A file of `size` zero bytes that takes no block: a hundred thousand of them are made."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with syscalls.opened(name, flags, dir_fd=dir_fd, mode=_READ_ONLY) as fd:
        os.ftruncate(fd, size)


def _write(name: str, content: bytes, dir_fd: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with syscalls.opened(name, flags, dir_fd=dir_fd, mode=_READ_ONLY) as fd:
        if content:
            written = os.write(fd, content)
            assert written == len(content), "the disk of the benchmark is full"
