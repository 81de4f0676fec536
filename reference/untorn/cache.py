"""The cache as its users see it: look up, extract, stage and publish, collect.

Threads may share a Cache; its frames may be released from any thread. Processes share a root and
nothing else. After a fork the child may go on using the Cache, but holds none of its parent's
frames (see lease). Whatever is wrong with the cache itself means "uncached": counted, warned about
once a process and cause, and the same frames.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from untorn import accounting, events, reading, subcaches, writing
from untorn.access import Access
from untorn.config import Clock, Durability, Overrides, Settings, load
from untorn.frames import Frames
from untorn.key import require_key
from untorn.outcome import Collected, Miss, Skipped
from untorn.subcaches import SubCache
from untorn.upkeep import Upkeep
from untorn.writing import StagingArea

if TYPE_CHECKING:
    from untorn.breakdown import Result
    from untorn.extraction import Progress
    from untorn.render import Progress as RenderProgress
    from untorn.request import Request


@dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """Totals: `counters` are this object's, `handed_in` those of all who used the root.

    What sub-caches hold is in no number here.
    """

    root: str | None
    enabled: bool
    degraded: str
    entries: int
    entry_bytes: int
    budget_bytes: int | None
    counters: Mapping[str, int]
    handed_in: Mapping[str, int]


class Cache:
    """A shared, content-addressed cache of frames below one root directory; see `open`."""

    def __init__(self, settings: Settings, clock: Clock = time.time) -> None:
        self.access = Access(settings, clock)
        self._upkeep = Upkeep(self.access)

    @classmethod
    def open(
        cls,
        root: str | os.PathLike[str] | None = None,
        *,
        budget_bytes: int | Literal["unlimited"] | None = None,
        min_age_s: float | None = None,
        recency_resolution_s: float | None = None,
        reap_grace_s: float | None = None,
        flight_wait_s: float | None = None,
        durability: Durability | None = None,
        verify: bool | None = None,
        clock: Clock = time.time,
        environ: Mapping[str, str] | None = None,
    ) -> Cache:
        """A cache from arguments, else from UNTORN_* variables, else from the defaults.

        Raises ConfigError for a bad value and RootRefusedError for a root that somebody chose and
        that is not safe to use. A default root that is not safe, and any root that cannot be used
        just now, gives a cache that works uncached.
        """
        overrides = Overrides(
            root=root,
            budget_bytes=budget_bytes,
            min_age_s=min_age_s,
            recency_resolution_s=recency_resolution_s,
            reap_grace_s=reap_grace_s,
            flight_wait_s=flight_wait_s,
            durability=durability,
            verify=verify,
        )
        cache = cls(load(overrides, os.environ if environ is None else environ), clock)
        cache.access.root()
        return cache

    def __enter__(self) -> Cache:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hand the counters in and let go of the root. Frames that are still held stay valid."""
        root = self.access.forget_root()
        if root is not None:
            self._upkeep.hand_in(root)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.access.settings

    @property
    def degraded(self) -> str:
        """Why the cache is not used just now; empty if it is."""
        return self.access.degraded

    def sub(
        self,
        name: str,
        *,
        budget_bytes: int | Literal["unlimited"] | None = None,
        min_age_s: float | None = None,
    ) -> Cache:
        """A cache of its own below this one's root, to be closed by itself; see subcaches.

        Its budget and age are counted apart from this cache's, and are the same if left out. No
        collect of either touches the other. Raises ConfigError for a bad name or value, and
        RootRefusedError as `open` does, for its own directory and for this one's.
        """
        mine = subcaches.settings(self.settings, name, budget_bytes, min_age_s)
        cache = type(self)(mine, self.access.clock)
        cache.access.root()
        return cache

    def sub_caches(self) -> list[SubCache]:
        """The sub-caches below the root with what each stores; none where there is no root."""
        root = self.access.root()
        try:
            return [] if root is None else subcaches.listed(root)
        except OSError as error:
            events.warn_once("sub-caches", f"the sub-caches cannot be listed: {error}")
            return []

    def lookup(self, key: str) -> Frames | Miss:
        """The leased frames of `key`, or the reason why not (KeyInputError for no key)."""
        found = reading.find(self.access, require_key(key))
        reading.count(self.access, found)
        return found

    def stage(self, key: str) -> StagingArea:
        """A private directory for the frames of `key`, to be published or abandoned.

        Where the cache cannot be used the directory is outside of it, and publishing it ends
        unpublished with the reason (KeyInputError for no key).
        """
        return writing.stage(self.access, self._upkeep, require_key(key))

    def extract(self, request: Request, progress: Progress | None = None) -> Frames:
        """The frames of a clip range: from the cache, or decoded, published and leased.

        Raises KeyInputError or ClipError for a request that cannot be met, DecoderError for the
        decoder's own failure, SourceChangedError for a clip that does not hold still. Trouble with
        the cache is never raised: the frames are then delivered unpublished or uncached.
        """
        from untorn.extract import extract  # noqa: PLC0415 - PyAV takes 0.7 s to import

        return extract(self.access, self._upkeep, request, progress)

    def render(
        self,
        requests: Iterable[Request],
        *,
        tone_map: bool = False,
        slots: int | None = None,
        progress: RenderProgress | None = None,
    ) -> Result:
        """Many clip ranges at once: an item for each request, in order, and what it took.

        Requests that are equal in all axes are extracted once and delivered to each. Up to `slots`
        decoders run at a time (None: half of the processors). `progress` is called with an item's
        index, its frames so far and how many there will be, if known: by one thread at a time, and
        not the caller's; what it raises ends the render. Where any clip is HDR, SDR clips are
        converted to what most of the HDR ones are; with `tone_map` HDR clips are converted to SDR.
        A request that names its own `transform` is left out of that.

        A request that cannot be met has its error in its item, as `extract` would raise it, and the
        others go on. Trouble with the cache degrades as it does there. Raises ConfigError for a bad
        number of slots and DecoderError if there is no decoder that runs. Ctrl-C ends every decoder
        and leaves nothing behind.
        """
        from untorn.render import render  # noqa: PLC0415 - PyAV takes 0.7 s to import

        return render(
            self.access,
            self._upkeep,
            requests,
            tone_map=tone_map,
            slots=slots,
            progress=progress,
        )

    def collect(
        self,
        *,
        budget_bytes: int | Literal["unlimited"] | None = None,
        min_age_s: float | None = None,
        dry_run: bool = False,
    ) -> Collected | Skipped:
        """Evict down to a budget in bytes, reap dead staging, drain the trash.

        `budget_bytes` and `min_age_s` None are as configured; 0 evicts everything unprotected. A
        dry run reports and changes nothing. One collector works at a time: others are skipped.
        """
        return self._upkeep.collect(budget_bytes, min_age_s, dry_run=dry_run)

    def stats(self) -> Stats:
        """What is stored and what was counted."""
        access = self.access
        root = access.root()
        usage, handed_in = accounting.Usage(0, 0), dict[str, int]()
        if root is not None:
            try:
                usage = accounting.read(root)
                handed_in = events.handed_in(root.ctl_fd)
            except OSError as error:
                events.warn_once("stats", f"the cache's counters cannot be read: {error}")
        return Stats(
            root=access.settings.root,
            enabled=root is not None,
            degraded=access.degraded,
            entries=usage.entries,
            entry_bytes=usage.size,
            budget_bytes=access.settings.budget_bytes,
            counters=access.counters.totals(),
            handed_in=handed_in,
        )
