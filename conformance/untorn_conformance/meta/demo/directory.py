"""A cache that is a directory of directories: an entry becomes visible by one rename.

It promises little (no lease, no collector that reaps), and keeps what it promises.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from untorn_conformance.backend import (
    Adopted,
    Collected,
    Damaged,
    Evicted,
    FrameRead,
    Hello,
    Hit,
    Limits,
    Miss,
    MissReason,
    Published,
    Staged,
    StagedFile,
    Stats,
    Unpublished,
)
from untorn_conformance.contract import Capability
from untorn_conformance.errors import BackendError, ErrorCode


class DirectoryCache:
    """Entries are ``root/entries/KEY/``, unpublished work is in ``root/staging/``."""

    def __init__(self) -> None:
        self._root = Path()
        self._handles: dict[str, Path] = {}
        self._keys: dict[str, str] = {}
        self._counters = {"hits": 0, "misses": 0, "published": 0, "adopted": 0}

    def hello(self) -> Hello:
        return Hello(
            name="demo-directory",
            version="1.0",
            language="Python",
            capabilities=frozenset({Capability.STATS}),
            limits=Limits(reap_grace_s=60, recency_resolution_s=1, flight_wait_s=1),
        )

    def open(self, *, root: str | None, env: Mapping[str, str], clock_offset_s: float) -> None:
        if root is None or env or clock_offset_s:
            raise BackendError(ErrorCode.BAD_CONFIG, "only an explicit root can be configured")
        self._root = Path(root)
        for name in ("entries", "staging"):
            (self._root / name).mkdir(parents=True, exist_ok=True)

    def lookup(self, *, key: str) -> Hit | Miss:
        place = self._entry(key)
        files = _names(place)
        if not files:
            self._counters["misses"] += 1
            return Miss(reason=MissReason.ABSENT)
        os.utime(place)
        self._counters["hits"] += 1
        return Hit(handle=self._hold(place), files=files)

    def read(self, *, handle: str, index: int) -> FrameRead | Evicted | Damaged:
        place = self._held(handle)
        try:
            content = (place / _names(place)[index]).read_bytes()
        except (FileNotFoundError, IndexError):
            return Evicted()
        return FrameRead(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))

    def release(self, *, handle: str) -> None:
        self._held(handle)
        del self._handles[handle]

    def stage(self, *, key: str, files: Sequence[StagedFile]) -> Staged:
        if not files or any(Path(file.path).stat().st_size == 0 for file in files):
            raise BackendError(ErrorCode.INVALID_ENTRY, "an entry needs files, and none is empty")
        place = Path(tempfile.mkdtemp(dir=self._root / "staging"))
        for file in files:
            shutil.copyfile(file.path, place / file.name)
        handle = self._hold(place)
        self._keys[handle] = key
        return Staged(handle=handle)

    def publish(self, *, handle: str) -> Published | Adopted | Unpublished:
        staging, key = self._held(handle), self._keys.pop(handle)
        place = self._entry(key)
        try:
            os.rename(staging, place)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            self._counters["adopted"] += 1
            return Adopted(handle=self._hold(place), files=_names(place))
        self._counters["published"] += 1
        return Published(handle=self._hold(place), files=_names(place))

    def abandon(self, *, handle: str) -> None:
        shutil.rmtree(self._held(handle))
        del self._handles[handle]

    def collect(
        self, *, budget_bytes: int | None, min_age_s: float | None, dry_run: bool
    ) -> Collected:
        places = sorted((self._root / "entries").iterdir(), key=lambda each: each.stat().st_mtime)
        sizes = {place: sum(file.stat().st_size for file in place.iterdir()) for place in places}
        over_bytes = sum(sizes.values()) - (2**31 if budget_bytes is None else budget_bytes)
        evicted = freed_bytes = 0
        for place in places:
            is_young = time.time() - place.stat().st_mtime < (min_age_s or 0)
            if freed_bytes >= over_bytes or is_young:
                continue
            evicted, freed_bytes = evicted + 1, freed_bytes + sizes[place]
            if not dry_run:
                aside = Path(tempfile.mkdtemp(dir=self._root / "staging"))
                os.rename(place, aside)
                shutil.rmtree(aside)
        over_budget_bytes = max(0, over_bytes - freed_bytes)
        return Collected(
            evicted=evicted,
            freed_bytes=freed_bytes,
            reaped=0,
            over_budget_bytes=over_budget_bytes,
            protected={"young": over_budget_bytes} if over_budget_bytes else {},
        )

    def stats(self) -> Stats:
        return Stats(counters=self._counters)

    def close(self) -> None:
        self._handles.clear()

    def _entry(self, key: str) -> Path:
        if not key.isalnum():
            raise BackendError(ErrorCode.INVALID_KEY, f"not letters and digits: {key!r}")
        return self._root / "entries" / key

    def _hold(self, place: Path) -> str:
        handle = f"h{len(self._handles)}-{time.monotonic_ns()}"
        self._handles[handle] = place
        return handle

    def _held(self, handle: str) -> Path:
        if handle not in self._handles:
            raise BackendError(ErrorCode.BAD_REQUEST, f"no such handle: {handle}")
        return self._handles[handle]


def _names(place: Path) -> tuple[str, ...]:
    return tuple(sorted(os.listdir(place))) if place.is_dir() else ()
