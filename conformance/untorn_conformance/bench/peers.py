"""Floors and peers: the least that a lookup could do, and what other caches do for the same list.

`stat_and_list` is the bare work of a touching lookup. `sentinel_lookup` is what a render engine's
cache does (hyperframes PR #1901: exists, utimes, readdir, filter, sort, join), in Python. diskcache
(https://grantjenks.com/docs/diskcache/) holds the list of paths as a value: it neither checks that
the files exist nor keeps them. joblib.Memory remembers the function that returns the list.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

NOT_INSTALLED = "not installed: pip install 'untorn[bench]'"
SENTINEL = ".complete"
_FRAME_PREFIX = "frame_"
_KEY = "entry"
SENTINEL_CACHE = "sentinel cache in Python (exists, utime, listdir, filter, sort, join)"
JOBLIB = "joblib.Memory, list of paths"
_POLICIES = {
    "diskcache, list of paths": "least-recently-stored",
    "diskcache, list of paths, LRU": "least-recently-used",
}
STORED = (SENTINEL_CACHE, *_POLICIES, JOBLIB)
"""Peers whose store another process can open."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Peer:
    """Somebody else's warm lookup; `lookup` None means that it is not installed."""

    name: str
    lookup: Callable[[], list[str]] | None


def optional(module: str) -> ModuleType | None:
    """An optional package, or None where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def stat_and_list(directory: str) -> list[str]:
    """The floor: write recency, list the directory; neither sorted nor checked nor leased."""
    os.utime(directory)
    with os.scandir(directory) as children:
        return [child.path for child in children]


def sentinel_lookup(directory: str, extension: str) -> list[str]:
    """A hit of a sentinel cache: exists, utimes, readdir, filter, sort, join."""
    sentinel = os.path.join(directory, SENTINEL)
    if not os.path.exists(sentinel):
        return []
    now = time.time()
    os.utime(sentinel, (now, now))
    names = [
        name
        for name in os.listdir(directory)
        if name.startswith(_FRAME_PREFIX) and name.endswith(extension)
    ]
    return [os.path.join(directory, name) for name in sorted(names)]


@contextmanager
def diskcache_lookups(home: Path, paths: list[str]) -> Iterator[list[Peer]]:
    """Stores of diskcache with its default policy and with one that writes recency at each hit."""
    diskcache = optional("diskcache")
    if diskcache is None:
        yield [Peer(name=name, lookup=None) for name in _POLICIES]
        return
    stores = [
        diskcache.Cache(str(home / policy), eviction_policy=policy) for policy in _POLICIES.values()
    ]
    try:
        for store in stores:
            store[_KEY] = paths
        yield [
            Peer(name=name, lookup=_getter(store))
            for name, store in zip(_POLICIES, stores, strict=True)
        ]
    finally:
        for store in stores:
            store.close()


def _getter(store: dict[str, list[str]]) -> Callable[[], list[str]]:
    return lambda: store[_KEY]


def joblib_lookup(home: Path, directory: str, count: int) -> Peer:
    """joblib.Memory around a function from a directory and a count to the list of paths."""
    joblib = optional("joblib")
    if joblib is None:
        return Peer(name=JOBLIB, lookup=None)
    remembered = joblib.Memory(str(home), verbose=0).cache(frame_paths)
    remembered(directory, count)
    return Peer(name=JOBLIB, lookup=lambda: remembered(directory, count))


def opened(name: str, home: Path, directory: str, count: int) -> Callable[[], list[str]]:
    """The lookup of a peer in the store that the above made below `home`, in another process.

    `directory` is the peer's own: a sentinel cache has its frames there. Raises ImportError.
    """
    if name == SENTINEL_CACHE:
        return lambda: sentinel_lookup(directory, ".jpg")
    if name == JOBLIB:
        remembered = joblib_lookup(home / "joblib", directory, count).lookup
        if remembered is None:
            raise ImportError(NOT_INSTALLED)
        return remembered
    policy = _POLICIES[name]
    diskcache = importlib.import_module("diskcache")
    return _getter(diskcache.Cache(str(home / policy), eviction_policy=policy))


def frame_paths(directory: str, count: int) -> list[str]:
    """What joblib remembers; at module level, because joblib files it under its name."""
    return [f"{directory}/{name}" for name in frame_names(count)]


def frame_names(count: int) -> list[str]:
    """Names of `count` frames, as the decoder gives them."""
    return [f"{_FRAME_PREFIX}{number:05d}.jpg" for number in range(1, count + 1)]
