"""What the cache answers: plain values, each with its reason."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class MissReason(StrEnum):
    """Why a lookup did not hit (contract R6)."""

    ABSENT = "absent"  # nothing is published under the key
    INCOMPLETE = "incomplete"  # a directory without a whole manifest
    CORRUPT = "corrupt"  # a manifest that contradicts itself, or of another key
    UNREADABLE = "unreadable"  # the file system refused; the detail names the errno
    DAMAGED = "damaged"  # files that are missing, cut or altered since they were sealed
    STALE_GENERATION = "stale-generation"  # sealed under another schema
    UNVERIFIED = "unverified"  # sealed in another boot, and without digests to check
    BUSY = "busy"  # a collector is deciding about it


class UnpublishedReason(StrEnum):
    """Why staged work did not become an entry (contract P5)."""

    ERRNO = "errno"  # a call failed; errno and step say which
    BUSY = "busy"  # something damaged is in the place and somebody holds it
    UNTRUSTED = "untrusted"  # repair needs locks that this file system does not have
    TOO_LARGE = "too-large"  # larger than the whole budget


class Step(StrEnum):
    """The steps of a publish, as they are named in its failures."""

    ROOT = "root"
    STAGE = "stage"
    SEAL = "seal"
    SYNC = "sync"
    RENAME = "rename"
    REPAIR = "repair"


class Delivery(StrEnum):
    """Where the frames that a caller holds come from."""

    HIT = "hit"  # an entry that was there
    PUBLISHED = "published"  # our own work, now an entry
    ADOPTED = "adopted"  # another writer's entry; our own work was dropped
    UNPUBLISHED = "unpublished"  # our own work, in locked staging until released
    UNCACHED = "uncached"  # our own work, outside the cache


@dataclass(frozen=True, kw_only=True, slots=True)
class Miss:
    """No entry, and why; `detail` is for people."""

    reason: MissReason
    detail: str = ""
    by_digest: bool = False  # only the digests showed the damage
    error: int | None = None  # the errno behind an unreadable one
    taken: bool = False  # it was a hit, but its files were gone when they were to be used

    def __bool__(self) -> bool:
        """False, so that `if hit := cache.lookup(key)` reads as it should."""
        return False


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why something stayed unpublished or uncached: the reason, and the errno and step if any."""

    reason: UnpublishedReason
    step: Step
    error: int | None = None
    detail: str = ""

    @property
    def errno_name(self) -> str | None:
        """ENOSPC and its like, or None if no call failed."""
        return None if self.error is None else errno.errorcode.get(self.error, str(self.error))

    def __str__(self) -> str:
        """One line: reason, errno, step and detail."""
        if self.error is None and self.reason is UnpublishedReason.ERRNO:
            return self.detail or f"failed at {self.step.value}"
        what = f"{self.errno_name or self.reason.value} at {self.step.value}"
        return f"{what}: {self.detail}" if self.detail else what

    @classmethod
    def of(cls, error: OSError, step: Step) -> Failure:
        """The failure that an OSError at `step` is."""
        return cls(
            reason=UnpublishedReason.ERRNO,
            step=step,
            error=error.errno or errno.EIO,
            detail=error.strerror or str(error),
        )


class SkipReason(StrEnum):
    """Why a collect did nothing."""

    ANOTHER_COLLECTOR = "another-collector"
    UNTRUSTED = "untrusted"
    DEGRADED = "degraded"


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """A collect that did nothing, and why."""

    reason: SkipReason
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """What one collect did. All bytes are st_size summed over the links that were removed.

    `evicted` and `freed_bytes` count entries that left the namespace in this pass; `reaped` counts
    dead staging; `over_budget_bytes` says how far above the budget the cache still is, and
    `protected` what was passed over: leased, young, changed (touched since the listing), foreign.
    """

    evicted: int
    freed_bytes: int
    reaped: int
    over_budget_bytes: int
    entries: int
    entry_bytes: int
    protected: Mapping[str, int] = field(default_factory=dict)
    dry_run: bool = False
