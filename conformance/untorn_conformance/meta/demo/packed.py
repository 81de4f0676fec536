"""A cache that packs the frames of an entry into one file, which becomes visible by one link.

Its frames are no files of the root, so nobody can thin an entry behind its back. It promises little
(no lease, no age, no order of eviction), and keeps what it promises: a handle holds the bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from untorn_conformance.backend import (
    Adopted,
    Collected,
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
)
from untorn_conformance.errors import BackendError, ErrorCode


class PackedCache:
    """An entry is ``root/KEY.pack``, unpublished work is kept in memory."""

    def __init__(self) -> None:
        self._root = Path()
        self._held: dict[str, dict[str, bytes]] = {}
        self._keys: dict[str, str] = {}
        self._last = 0

    def hello(self) -> Hello:
        return Hello(
            name="demo-packed",
            version="1.0",
            language="Python",
            capabilities=frozenset(),
            limits=Limits(reap_grace_s=60, recency_resolution_s=1, flight_wait_s=1),
        )

    def open(self, *, root: str | None, env: Mapping[str, str], clock_offset_s: float) -> None:
        if root is None or env or clock_offset_s:
            raise BackendError(ErrorCode.BAD_CONFIG, "only an explicit root can be configured")
        self._root = Path(root)

    def lookup(self, *, key: str) -> Hit | Miss:
        frames = self._unpacked(key)
        if frames is None:
            return Miss(reason=MissReason.ABSENT)
        return Hit(handle=self._hold(frames), files=tuple(frames))

    def read(self, *, handle: str, index: int) -> FrameRead:
        content = list(self._held[handle].values())[index]
        return FrameRead(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))

    def release(self, *, handle: str) -> None:
        del self._held[handle]

    def stage(self, *, key: str, files: Sequence[StagedFile]) -> Staged:
        handle = self._hold({file.name: Path(file.path).read_bytes() for file in files})
        self._keys[handle] = key
        return Staged(handle=handle)

    def publish(self, *, handle: str) -> Published | Adopted:
        frames, key = self._held[handle], self._keys.pop(handle)
        staging = self._root / f"{os.getpid()}-{handle}.tmp"
        staging.write_text(json.dumps({name: each.hex() for name, each in frames.items()}))
        try:
            while True:
                try:
                    os.link(staging, self._pack(key))
                except FileExistsError:
                    winner = self._unpacked(key)
                    if winner is None:
                        continue  # it was evicted meanwhile
                    self._held[handle] = winner
                    return Adopted(handle=handle, files=tuple(winner))
                return Published(handle=handle, files=tuple(frames))
        finally:
            staging.unlink()

    def abandon(self, *, handle: str) -> None:
        del self._held[handle], self._keys[handle]

    def collect(
        self, *, budget_bytes: int | None, min_age_s: float | None, dry_run: bool
    ) -> Collected:
        del budget_bytes, min_age_s
        evicted = freed_bytes = 0
        for pack in sorted(self._root.glob("*.pack")):
            try:
                size = pack.stat().st_size
                if not dry_run:
                    pack.unlink()
            except FileNotFoundError:
                continue  # another collector was faster, and counts it
            evicted, freed_bytes = evicted + 1, freed_bytes + size
        return Collected(
            evicted=evicted, freed_bytes=freed_bytes, reaped=0, over_budget_bytes=0, protected={}
        )

    def stats(self) -> Stats:
        return Stats(counters={})

    def close(self) -> None:
        self._held.clear()
        self._keys.clear()

    def _pack(self, key: str) -> Path:
        return self._root / f"{hashlib.sha256(key.encode()).hexdigest()}.pack"

    def _unpacked(self, key: str) -> dict[str, bytes] | None:
        try:
            packed = json.loads(self._pack(key).read_text())
        except FileNotFoundError:
            return None
        return {name: bytes.fromhex(each) for name, each in packed.items()}

    def _hold(self, frames: dict[str, bytes]) -> str:
        self._last += 1
        self._held[f"h{self._last}"] = frames
        return f"h{self._last}"
