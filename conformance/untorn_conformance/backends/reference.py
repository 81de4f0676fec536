"""The reference cache as a backend: each verb is one call of its public API.

Only `plant` and `fork` do more than translate: they bring about what a user of the API cannot.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import signal
import stat
import time
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NoReturn

import untorn
from untorn import config, decoder, events
from untorn.cache import Cache
from untorn.frames import EvictedError, Frames
from untorn.key import FrameFormat, KeyInputs, SourceIdentity, compute_key, exact

from untorn_conformance import backend as protocol
from untorn_conformance.backend import Axis, Inputs, PlantKind, Setting, SourceKind
from untorn_conformance.backends.reference_plant import plant
from untorn_conformance.backends.reference_staging import Work
from untorn_conformance.contract import Capability
from untorn_conformance.errors import BackendError, ErrorCode

CAPABILITIES = frozenset(
    {
        Capability.KEY,
        Capability.EXTRACT,
        Capability.TRANSFORM,
        Capability.RENDER,
        Capability.DEDUPE,
        Capability.SLICE,
        Capability.SINGLE_FLIGHT,
        Capability.LEASE,
        Capability.CONFIG,
        Capability.STATS,
        Capability.LOG,
        Capability.SHARED_ROOT,
        Capability.VERIFY,
        Capability.PLANT,
        Capability.VIRTUAL_CLOCK,
        Capability.FORK,
    }
)

_FLIGHT_WAIT_S = 10.0  # a case can see a wait end, and no slow machine ends one by itself
_VAR_FLIGHT_WAIT_S = "UNTORN_REFERENCE_FLIGHT_WAIT_S"  # ours: the cache itself is told in code
_TRANSFORMS = {
    "sdr2hdr-smpte2084": SourceKind.SDR,
    "sdr2hdr-arib-std-b67": SourceKind.SDR,
    "hdr2sdr": SourceKind.PQ,
    "final-frame": SourceKind.SDR,
}
_CODES: Mapping[type[Exception], ErrorCode] = {
    untorn.SourceChangedError: ErrorCode.SOURCE_CHANGED,
    untorn.ClipError: ErrorCode.BAD_CLIP,
    untorn.DecoderError: ErrorCode.DECODER_FAILED,
    untorn.KeyInputError: ErrorCode.INVALID_KEY,
    untorn.InvalidEntryError: ErrorCode.INVALID_ENTRY,
    untorn.RootRefusedError: ErrorCode.ROOT_REFUSED,
    untorn.ConfigError: ErrorCode.BAD_CONFIG,
}


def factory() -> Reference:
    """The backend that `--backend reference` names."""
    return Reference()


class Reference:
    """One cache object of the reference, driven verb by verb."""

    def __init__(self) -> None:
        self._cache: Cache | None = None
        self._frames: dict[str, Frames] = {}
        self._works: dict[str, Work] = {}
        self._next_handle = 0
        self._offset_s = 0.0
        self._log = _Log()
        logger = logging.getLogger("untorn")
        logger.addHandler(self._log)
        logger.setLevel(logging.INFO)

    def preload(self) -> None:
        """Import what is otherwise imported late, while the files can be read."""
        import untorn.render  # noqa: F401, PLC0415

        from untorn_conformance.backends import reference_render  # noqa: F401, PLC0415

    def share(self) -> None:
        """Ask and hash the decoder once for all forks; where there is none, each finds that out."""
        with contextlib.suppress(untorn.DecoderError):
            decoder.acquaint(os.environ)

    def renew(self) -> bool:
        """Be as when this was made, in a new process; False where something is held still."""
        if self._frames or self._works:
            return False
        events.begin_anew()
        self.close()
        self._log.drain()
        self._next_handle, self._offset_s = 0, 0.0
        return True

    def hello(self) -> protocol.Hello:
        """Who this is, and what it promises."""
        return protocol.Hello(
            name="reference",
            version=untorn.__version__,
            language="python",
            capabilities=CAPABILITIES,
            limits=protocol.Limits(
                reap_grace_s=config.DEFAULT_REAP_GRACE_S,
                recency_resolution_s=config.DEFAULT_RECENCY_RESOLUTION_S,
                flight_wait_s=_FLIGHT_WAIT_S,
            ),
            variables={
                Setting.ROOT: config.VAR_DIR,
                Setting.BUDGET_MB: config.VAR_MAX_MB,
                Setting.MIN_AGE_S: config.VAR_MIN_AGE_S,
                Setting.VERIFY: config.VAR_VERIFY,
                Setting.FLIGHT_WAIT_S: _VAR_FLIGHT_WAIT_S,
            },
            transforms=_TRANSFORMS,
        )

    def open(self, *, root: str | None, env: Mapping[str, str], clock_offset_s: float) -> None:
        """Open the cache at `root`, or where `env` says."""
        self.close()
        self._offset_s = clock_offset_s
        with _Translated():
            self._cache = Cache.open(
                root,
                environ=env,
                flight_wait_s=float(env.get(_VAR_FLIGHT_WAIT_S, _FLIGHT_WAIT_S)),
                clock=lambda: time.time() + self._offset_s,
            )

    def close(self) -> None:
        """Release everything."""
        for frames in self._frames.values():
            frames.release()
        for work in self._works.values():
            work.area.abandon()
        self._frames.clear()
        self._works.clear()
        if self._cache is not None:
            self._cache.close()
            self._cache = None

    # --- reading

    def lookup(self, *, key: str) -> protocol.Hit | protocol.Miss:
        """Look the entry up and lease it."""
        with _Translated():
            found = self._open_cache.lookup(key)
        if isinstance(found, untorn.Miss):
            return protocol.Miss(
                reason=protocol.MissReason(found.reason.value), detail=found.detail
            )
        return protocol.Hit(handle=self._keep(found), files=found.names)

    def read(
        self, *, handle: str, index: int
    ) -> protocol.FrameRead | protocol.Evicted | protocol.Damaged:
        """Read one frame's bytes here, in this process."""
        frames = self._held(handle)
        if not 0 <= index < len(frames.names):
            raise BackendError(ErrorCode.BAD_REQUEST, f"{handle} has no file {index}")
        try:
            data = frames.read(index)
        except EvictedError:
            return protocol.Evicted()
        except OSError as error:
            return protocol.Damaged(detail=str(error))
        return protocol.FrameRead(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))

    def release(self, *, handle: str) -> None:
        """End the lease."""
        self._held(handle).release()
        del self._frames[handle]

    # --- writing

    def stage(self, *, key: str, files: Sequence[protocol.StagedFile]) -> protocol.Staged:
        """Copy the files into a staging area of the cache."""
        with _Translated():
            area = self._open_cache.stage(key)
        work = Work(area, files)
        try:
            work.copy()
        except BaseException:
            area.abandon()
            raise
        handle = self._new_handle()
        self._works[handle] = work
        return protocol.Staged(handle=handle)

    def publish(
        self, *, handle: str
    ) -> protocol.Published | protocol.Adopted | protocol.Unpublished:
        """Publish a staging area; its handle becomes that of the frames."""
        work = self._works.pop(handle, None)
        if work is None:
            raise BackendError(ErrorCode.BAD_REQUEST, f"no staging {handle}")
        with _Translated():
            frames = work.publish()
        held, files = self._keep(frames), frames.names
        if frames.delivery is untorn.Delivery.PUBLISHED:
            return protocol.Published(handle=held, files=files)
        if frames.delivery is untorn.Delivery.ADOPTED:
            return protocol.Adopted(handle=held, files=files)
        assert frames.failure is not None, "what is not published has a reason"
        return protocol.Unpublished(
            handle=held,
            files=files,
            reason=protocol.UnpublishedReason(frames.failure.reason.value),
            errno=frames.failure.errno_name,
            step=frames.failure.step.value,
        )

    def abandon(self, *, handle: str) -> None:
        """Drop a staging area."""
        work = self._works.pop(handle, None)
        if work is None:
            raise BackendError(ErrorCode.BAD_REQUEST, f"no staging {handle}")
        work.area.abandon()

    def extract(self, *, inputs: Inputs) -> protocol.Extracted:
        """Extract a clip range through the cache."""
        from untorn_conformance.backends import reference_render  # noqa: PLC0415 - imports PyAV

        with _Translated():
            frames = self._open_cache.extract(reference_render.request_of(inputs))
        return reference_render.extracted(self._keep(frames), frames)

    def render(self, *, requests: Sequence[Inputs]) -> protocol.Rendered:
        """Extract many clip ranges through the cache at once."""
        from untorn_conformance.backends import reference_render  # noqa: PLC0415 - imports PyAV

        with _Translated():
            result = self._open_cache.render(map(reference_render.request_of, requests))
            try:
                items = [reference_render.answer_of(each, self._keep) for each in result]
            except BaseException:
                result.release()
                raise
        return protocol.Rendered(items=tuple(items))

    # --- the rest

    def collect(
        self, *, budget_bytes: int | None, min_age_s: float | None, dry_run: bool
    ) -> protocol.Collected | protocol.Skipped:
        """Run one collect."""
        with _Translated():
            done = self._open_cache.collect(
                budget_bytes=budget_bytes, min_age_s=min_age_s, dry_run=dry_run
            )
        if isinstance(done, untorn.Skipped):
            return protocol.Skipped(reason=done.reason.value)
        return protocol.Collected(
            evicted=done.evicted,
            freed_bytes=done.freed_bytes,
            reaped=done.reaped,
            over_budget_bytes=done.over_budget_bytes,
            protected=done.protected,
        )

    def stats(self) -> protocol.Stats:
        """The counters of this cache object, and what is stored."""
        with _Translated():
            stats = self._open_cache.stats()
        stored = {"entries": stats.entries, "entry_bytes": stats.entry_bytes}
        return protocol.Stats(counters={**stats.counters, **stored})

    def key(self, *, inputs: Inputs) -> protocol.Key:
        """The key of inputs that name every axis themselves."""
        with _Translated():
            return protocol.Key(key=compute_key(_key_inputs(inputs)))

    def age(self, *, seconds: float) -> None:
        """Make everything below the root older, for every process that uses it."""
        root = self._open_cache.settings.root
        assert root is not None, "a cache that is off has no age"
        for folder, directories, files in os.walk(root, topdown=False):
            for path in (os.path.join(folder, name) for name in (*directories, *files)):
                status = os.lstat(path)
                moved = round(seconds * 1e9)
                os.utime(
                    path,
                    ns=(status.st_atime_ns - moved, status.st_mtime_ns - moved),
                    follow_symlinks=False,
                )

    def log(self) -> protocol.Logged:
        """What was logged since the last time."""
        return protocol.Logged(events=self._log.drain())

    def plant(self, *, key: str, kind: PlantKind) -> protocol.Planted:
        """Put a described state where the entry of `key` belongs."""
        access = self._open_cache.access
        path = plant(access, key, kind)
        return protocol.Planted(path=os.path.relpath(path, access.settings.root))

    def fork(self, *, exec: bool) -> protocol.Forked:  # noqa: A002 - the protocol's name
        """Fork a child that waits to be killed."""
        child = os.fork()
        if child == 0:
            _wait_in_child(exec)
        return protocol.Forked(pid=child)

    @property
    def _open_cache(self) -> Cache:
        if self._cache is None:
            raise BackendError(ErrorCode.BAD_REQUEST, "open comes first")
        return self._cache

    def _new_handle(self) -> str:
        self._next_handle += 1
        return f"h{self._next_handle}"

    def _keep(self, frames: Frames) -> str:
        handle = self._new_handle()
        self._frames[handle] = frames
        return handle

    def _held(self, handle: str) -> Frames:
        frames = self._frames.get(handle)
        if frames is None:
            raise BackendError(ErrorCode.BAD_REQUEST, f"no frames {handle}")
        return frames


class _Translated:
    """Turns the reference's errors into the protocol's."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        for known, code in _CODES.items():
            if isinstance(error, known):
                raise BackendError(code, str(error)) from error


class _Log(logging.Handler):
    """Keeps the structured log until it is drained."""

    def __init__(self) -> None:
        super().__init__()
        self._events: list[protocol.LogEvent] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        fields = getattr(record, "untorn", {})
        self._events.append(
            protocol.LogEvent(
                level=record.levelname.lower(),
                cause=str(fields.get("cause", fields.get("event", ""))),
                message=record.getMessage(),
            )
        )

    def drain(self) -> tuple[protocol.LogEvent, ...]:
        """Everything since the last call."""
        events, self._events = tuple(self._events), []
        return events


def _key_inputs(inputs: Inputs) -> KeyInputs:
    def text(axis: Axis) -> str | None:
        value = inputs.get(axis)
        return None if value is None else str(value)

    start, duration = inputs.get(Axis.START_S), inputs.get(Axis.DURATION_S)
    quality = inputs.get(Axis.QUALITY)
    try:
        frame_format = FrameFormat(text(Axis.FORMAT) or "")
        size, mtime_ns = _whole(inputs[Axis.SIZE_BYTES]), _whole(inputs[Axis.MTIME_NS])
        quality = None if quality is None else _whole(quality)
    except (KeyError, ValueError, TypeError) as error:
        raise BackendError(ErrorCode.INVALID_KEY, f"not inputs of a key: {error}") from error
    return KeyInputs(
        source=SourceIdentity(
            path=text(Axis.PATH) or "",
            mtime_ns=mtime_ns,
            size=size,
            content_sha256=text(Axis.CONTENT_SHA256),
        ),
        fps=exact(inputs.get(Axis.FPS) or 0, "fps"),
        format=frame_format,
        decoder=text(Axis.DECODER) or "",
        start_s=Fraction(0) if start is None else exact(start, "start"),
        duration_s=None if duration is None else exact(duration, "duration"),
        quality=quality,
        transform=text(Axis.TRANSFORM),
    )


def _whole(value: str | float | None) -> int:
    """A whole number, 0 for none; ValueError for a float, which int() would cut to another one."""
    if isinstance(value, float):
        raise ValueError(f"not a whole number: {value}")
    return int(value or 0)


def _wait_in_child(execute: bool) -> NoReturn:
    """Wait to be killed, holding what was inherited except the ends of the conversation."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            if fd > 2 and stat.S_ISFIFO(os.fstat(fd).st_mode):  # noqa: PLR2004 - the standard three
                os.close(fd)
        except OSError:  # the descriptor of the listing itself
            continue
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if execute:
        os.execvp("sleep", ["sleep", "infinity"])  # noqa: S606, S607 - any program would do
    while True:
        signal.pause()
