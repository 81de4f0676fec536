"""The seed's extraction cache as a backend: what its first posted and its reviewed version share.

Facts: heygen-com/hyperframes at PR #1901, extractionCache.ts (``lookupCacheEntry``,
``publishCacheEntry``, ``touchCacheEntry``, ``rehydrateCacheEntry``) and their caller in
videoFrameExtractor.ts: after a publish the final directory is listed, after a failed one the
partial directory is used in place.

Rule 1: an entry is complete when its sentinel exists. Nothing says which files belong to it.
Rule 2: a writer works in a directory of its own, puts the sentinel there and renames it into place.
Rule 3: a target in the way is adopted if it has its sentinel, else removed in place and the rename
        tried once more. Check and removal are two steps.
Rule 4: a reader holds nothing. A hit is a list of names, read by path later.

What is ours: a verb that the original ends in an uncaught error answers *internal*; a cache that
cannot make its root is refused instead of switched off; ``close`` forgets unpublished work and
leaves it to the sweep, as the end of the original's process does.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, ParamSpec

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
    UnpublishedReason,
)
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.specimens.removal import DeletionOrder, remove_tree
from untorn_conformance.specimens.seed_layout import (
    SENTINEL,
    default_root,
    entry_path,
    is_frame,
    list_frames,
    new_partial_path,
)
from untorn_conformance.specimens.sweep import Sweep

DEFAULT_BUDGET_BYTES: Final = 2048 * 1024 * 1024
DEFAULT_MIN_AGE_S: Final = 3600.0

_KERNEL_TICK_S: Final = 0.01
"""New files are stamped by the kernel's tick, touched ones by the clock: no finer order exists."""

_TARGET_EXISTS: Final = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.EPERM})
"""What a rename onto a directory that is not empty may be answered, on one platform or another."""

_CHUNK_BYTES: Final = 1024 * 1024

P = ParamSpec("P")


class Step(StrEnum):
    """The steps of a publish that can fail, in their order."""

    SEAL = "seal"
    RENAME = "rename"
    REMOVE_TARGET = "remove-target"
    RENAME_AGAIN = "rename-again"


class Landing(StrEnum):
    """How work became a complete entry: by our rename, or by the one of somebody else."""

    PUBLISHED = "published"
    ADOPTED = "adopted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A publish that failed: the error and the step that met it."""

    error: OSError
    step: Step


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """A writer's unpublished work: where it is, where it is to go, and its frames' names."""

    partial: str
    entry: str
    files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Frames:
    """What a handle reads. ``private`` frames were not published and go when it is released."""

    directory: str
    files: tuple[str, ...]
    private: bool = False


class SeedAlgorithm(ABC):
    """All verbs; a version adds its name and what becomes of a second refused rename."""

    name: str
    version: str

    def __init__(self, order: DeletionOrder) -> None:
        self._order = order
        self._root = ""
        self._clock_offset_s = 0.0
        self._next_handle = 0
        self._frames: dict[str, _Frames] = {}
        self._works: dict[str, Work] = {}
        self._counters: Counter[str] = Counter()

    @abstractmethod
    def after_second_refusal(self, work: Work, refusal: Refusal) -> Landing | Refusal:
        """Conclude a publish whose second rename was refused, its target removed before."""

    def hello(self) -> Hello:
        """Who this is. It declares nothing: no lease, no key, no clock but the system's."""
        return Hello(
            name=f"{self.name} ({self._order})",
            version=self.version,
            language="python",
            capabilities=frozenset(),
            limits=Limits(
                reap_grace_s=DEFAULT_MIN_AGE_S,
                recency_resolution_s=_KERNEL_TICK_S,
                flight_wait_s=0.0,
            ),
        )

    def open(self, *, root: str | None, env: Mapping[str, str], clock_offset_s: float) -> None:
        """Make the root if need be. ``env`` is not read: budget and age come with each collect."""
        del env
        self.close()
        self._counters.clear()
        self._root = default_root() if root is None else root
        self._clock_offset_s = clock_offset_s
        try:
            os.makedirs(self._root, exist_ok=True)
        except OSError as error:
            raise BackendError(ErrorCode.ROOT_REFUSED, str(error)) from error

    # --- reading

    def lookup(self, *, key: str) -> Hit | Miss:
        """Hit if the sentinel exists: touch it, then list the frames. Three steps, nothing held."""
        entry = entry_path(self._root, key)
        if not _is_complete(entry):
            self._counters["miss.absent"] += 1
            return Miss(reason=MissReason.ABSENT)
        self._counters["hit"] += 1
        self._touch(entry)
        frames = _Frames(directory=entry, files=_rehydrated(entry))
        return Hit(handle=self._hold(frames), files=frames.files)

    def read(self, *, handle: str, index: int) -> FrameRead | Evicted | Damaged:
        """Read a frame by its path, whatever is there now; a file that is gone was evicted."""
        frames = self._held(handle)
        if not 0 <= index < len(frames.files):
            raise BackendError(ErrorCode.BAD_REQUEST, f"{handle} has no file {index}")
        try:
            content = _read(os.path.join(frames.directory, frames.files[index]))
        except FileNotFoundError:
            return Evicted()
        return FrameRead(sha256=hashlib.sha256(content).hexdigest(), bytes=len(content))

    def release(self, *, handle: str) -> None:
        """Forget a handle; frames that were not published are removed, being only the caller's."""
        frames = self._held(handle)
        del self._frames[handle]
        if frames.private:
            self._discard(frames.directory)

    # --- writing

    def stage(self, *, key: str, files: Sequence[StagedFile]) -> Staged:
        """Copy the files into a new partial directory; how many and how long is not looked at."""
        for file in files:
            if not is_frame(file.name):
                raise BackendError(ErrorCode.INVALID_KEY, f"not a frame's name: {file.name!r}")
        entry = entry_path(self._root, key)
        partial = new_partial_path(entry)
        os.mkdir(partial)
        for file in files:
            _write(os.path.join(partial, file.name), _read(file.path))
        handle = self._new_handle()
        names = tuple(sorted(file.name for file in files))
        self._works[handle] = Work(partial=partial, entry=entry, files=names)
        return Staged(handle=handle)

    def publish(self, *, handle: str) -> Published | Adopted | Unpublished:
        """Bring the work into place and list what is there then, ours or not."""
        work = self._taken(handle)
        landing = self._land(work)
        if isinstance(landing, Refusal):
            return self._unpublished(work, landing)
        self._counters[landing.value] += 1
        frames = _Frames(directory=work.entry, files=_rehydrated(work.entry))
        answer = Published if landing is Landing.PUBLISHED else Adopted
        return answer(handle=self._hold(frames), files=frames.files)

    def abandon(self, *, handle: str) -> None:
        """Remove the work."""
        self._discard(self._taken(handle).partial)

    def adopt(self, work: Work) -> bool:
        """If a complete entry is there, drop our work and say so."""
        if not _is_complete(work.entry):
            return False
        self._discard(work.partial)
        return True

    def _land(self, work: Work) -> Landing | Refusal:
        """Publish: seal, rename, adopt or remove what is in the way, rename again."""
        refusal = _attempt(Step.SEAL, _write, os.path.join(work.partial, SENTINEL), b"")
        if refusal:
            return refusal
        refusal = _attempt(Step.RENAME, os.rename, work.partial, work.entry)
        if refusal is None:
            return Landing.PUBLISHED
        if refusal.error.errno not in _TARGET_EXISTS:
            return refusal
        if self.adopt(work):
            return Landing.ADOPTED
        refusal = _attempt(Step.REMOVE_TARGET, remove_tree, work.entry, self._order)
        if refusal:
            return refusal
        refusal = _attempt(Step.RENAME_AGAIN, os.rename, work.partial, work.entry)
        return self.after_second_refusal(work, refusal) if refusal else Landing.PUBLISHED

    def _unpublished(self, work: Work, refusal: Refusal) -> Unpublished:
        """The caller goes on with its own frames, where they are."""
        name = errno.errorcode.get(refusal.error.errno or 0, "EIO")
        self._counters[f"unpublished.{name}"] += 1
        frames = _Frames(directory=work.partial, files=work.files, private=True)
        return Unpublished(
            handle=self._hold(frames),
            files=frames.files,
            reason=UnpublishedReason.ERRNO,
            errno=name,
            step=refusal.step.value,
        )

    # --- the rest

    def collect(
        self, *, budget_bytes: int | None, min_age_s: float | None, dry_run: bool
    ) -> Collected:
        """Sweep the root once."""
        budget_bytes = DEFAULT_BUDGET_BYTES if budget_bytes is None else budget_bytes
        sweep = Sweep(
            min_age_s=DEFAULT_MIN_AGE_S if min_age_s is None else min_age_s,
            now_ns=self._now_ns(),
            order=self._order,
            dry_run=dry_run,
        )
        swept = sweep.run(self._root, budget_bytes=budget_bytes)
        self._counters["ignored_errors"] += swept.ignored_errors
        if not dry_run:
            self._counters["evicted"] += swept.evicted
            self._counters["freed_bytes"] += swept.freed_bytes
            self._counters["reaped"] += swept.reaped
        return Collected(
            evicted=swept.evicted,
            freed_bytes=swept.freed_bytes,
            reaped=swept.reaped,
            over_budget_bytes=max(0, swept.left_bytes - budget_bytes),
            protected={"young": swept.young} if swept.young else {},
        )

    def stats(self) -> Stats:
        """What was counted since ``open``; ``ignored_errors`` are those that nobody hears of."""
        return Stats(counters=dict(self._counters))

    def close(self) -> None:
        """Forget every handle."""
        self._frames.clear()
        self._works.clear()

    def _now_ns(self) -> int:
        return time.time_ns() + round(self._clock_offset_s * 1e9)

    def _touch(self, entry: str) -> None:
        now_ns = self._now_ns()
        try:
            os.utime(os.path.join(entry, SENTINEL), ns=(now_ns, now_ns))
        except OSError:
            self._counters["ignored_errors"] += 1

    def _discard(self, partial: str) -> None:
        """Remove work of our own; what cannot be removed is left to the sweep."""
        try:
            remove_tree(partial, self._order)
        except OSError:
            self._counters["ignored_errors"] += 1

    def _new_handle(self) -> str:
        self._next_handle += 1
        return f"h{self._next_handle}"

    def _hold(self, frames: _Frames) -> str:
        handle = self._new_handle()
        self._frames[handle] = frames
        return handle

    def _held(self, handle: str) -> _Frames:
        if handle not in self._frames:
            raise BackendError(ErrorCode.BAD_REQUEST, f"no frames {handle}")
        return self._frames[handle]

    def _taken(self, handle: str) -> Work:
        if handle not in self._works:
            raise BackendError(ErrorCode.BAD_REQUEST, f"no staging {handle}")
        return self._works.pop(handle)


def _attempt(step: Step, call: Callable[P, None], *args: P.args, **how: P.kwargs) -> Refusal | None:
    """Take a step of a publish; None when it went well."""
    try:
        call(*args, **how)
    except OSError as error:
        return Refusal(error=error, step=step)
    return None


def _is_complete(entry: str) -> bool:
    return os.access(os.path.join(entry, SENTINEL), os.F_OK)


def _rehydrated(entry: str) -> tuple[str, ...]:
    """List an entry that was complete a moment ago; the original does not catch what may follow."""
    try:
        return list_frames(entry)
    except OSError as error:
        what = f"the entry went between its check and its listing: {error}"
        raise BackendError(ErrorCode.INTERNAL, what) from error


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY)
    try:
        chunks = []
        while chunk := os.read(fd, _CHUNK_BYTES):
            chunks.append(chunk)
    finally:
        os.close(fd)
    return b"".join(chunks)


def _write(path: str, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        while content:
            content = content[os.write(fd, content) :]
    finally:
        os.close(fd)
