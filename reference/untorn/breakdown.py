"""What a render gives back: an item for each request, and an account of what it took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING

from untorn.frames import Frames
from untorn.stopwatch import Phase

if TYPE_CHECKING:
    from untorn.request import Request


class Origin(StrEnum):
    """Where an item's frames come from."""

    HIT = "hit"  # an entry that was there
    EXTRACTED = "extracted"  # decoded for this item alone
    SLICED = "sliced"  # a part of a longer range
    SHARED = "shared"  # those of an earlier item whose request is equal in all axes
    FAILED = "failed"  # there are none: see the error


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One request's outcome: its frames, or the error that kept it from them.

    `leader` is the index of the item whose frames or error an equal request shares; else None.
    """

    index: int
    request: Request
    frames: Frames | None
    error: Exception | None
    origin: Origin
    leader: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Phases:
    """What one render did, and it alone, whatever others did meanwhile in the same process.

    `seconds` are those of each phase, added up over the slots: they may exceed `total_s`, which is
    what the caller waited. `hits` and `misses` (by reason) count each extraction that was asked of
    the cache once, and again where its clip changed meanwhile; so equal requests count as one, and
    all but one of them as `deduplicated`. One that was missed, made, taken for lost and found again
    is a miss and a hit. What was decoded and published counts as often as it was;
    `re_extracted` is how many of these had their frames before, and lost them to somebody who took
    them. `publish_failures` count by errno, or by reason where no call failed; frames outside of
    the cache count there too. `evicted`, `freed_bytes` and `reaped` are the work of collects that
    this render's own publishes brought about. `degraded` counts by cause. `waited` counts
    extractions for which another process or render was waited for.
    """

    seconds: Mapping[Phase, float]
    total_s: float
    hits: int
    misses: Mapping[str, int]
    deduplicated: int
    extracted: int
    re_extracted: int
    supersets: int
    sliced: int
    waited: int
    published: int
    adopted: int
    uncached: int
    publish_failures: Mapping[str, int]
    evicted: int
    freed_bytes: int
    reaped: int
    degraded: Mapping[str, int]


def phases_of(
    counted: Mapping[str, int],
    seconds: Mapping[Phase, float],
    *,
    total_s: float,
    deduplicated: int,
) -> Phases:
    """The account of a render from what its own counters and its stopwatch say."""
    return Phases(
        seconds=seconds,
        total_s=total_s,
        hits=counted.get("hit", 0),
        misses=_below(counted, "miss."),
        deduplicated=deduplicated,
        extracted=counted.get("extracted", 0),
        re_extracted=counted.get("re_extracted", 0),
        supersets=counted.get("supersets", 0),
        sliced=counted.get("sliced", 0),
        waited=counted.get("flight.followed", 0) + counted.get("flight.timed-out", 0),
        published=counted.get("published", 0),
        adopted=counted.get("adopted", 0),
        uncached=counted.get("uncached", 0),
        publish_failures=_below(counted, "unpublished."),
        evicted=counted.get("evicted", 0),
        freed_bytes=counted.get("freed_bytes", 0),
        reaped=counted.get("reaped", 0),
        degraded=_below(counted, "degraded."),
    )


def _below(counted: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {
        name.removeprefix(prefix): count
        for name, count in sorted(counted.items())
        if name.startswith(prefix)
    }


class Result:
    """The items of a render in the order of its requests; a context manager that releases them.

    Each item's frames stay readable until they are released, by themselves or here: also those of
    equal requests, of which each holds its own share. `phases` is the account of what was done.
    """

    def __init__(self, items: Sequence[Item], phases: Phases) -> None:
        self.items = tuple(items)
        self.phases = phases

    @property
    def failed(self) -> list[Item]:
        """The items that have an error and no frames."""
        return [item for item in self.items if item.error is not None]

    def release(self) -> None:
        """Let go of the frames of every item; a second call does nothing."""
        for item in self.items:
            if item.frames is not None:
                item.frames.release()

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def __getitem__(self, index: int) -> Item:
        return self.items[index]

    def __enter__(self) -> Result:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
