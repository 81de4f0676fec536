"""Find an entry and hand it out as leased frames."""

from __future__ import annotations

import errno
import os

from untorn import events, lookup
from untorn.access import Access
from untorn.frames import Frames
from untorn.lookup import Leased
from untorn.outcome import Delivery, Miss, MissReason
from untorn.root import Root

_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


class EntryHold:
    """The lease of an entry; its end touches the entry if it was held for long."""

    __slots__ = ("_access", "_leased")

    def __init__(self, leased: Leased, access: Access) -> None:
        self._leased = leased
        self._access = access

    @property
    def fd(self) -> int:
        """The entry directory's descriptor; negative once released."""
        return self._leased.claim.fd

    def release(self) -> None:
        """End the lease; a second call does nothing."""
        claim = self._leased.claim
        if claim.released:
            return
        now_s = self._access.clock()
        held_s = now_s - self._leased.mtime_ns / lookup.NS
        if held_s > self._access.settings.recency_resolution_s:
            self._touch(claim.fd, now_s)
        claim.release()

    def _touch(self, fd: int, now_s: float) -> None:
        """Write recency, but never over the stamp of somebody who changed the entry meanwhile.

        That stamp is what makes the next lookup see which frames are left.
        """
        try:
            status = os.fstat(fd)
        except OSError:
            return  # recency is worth no error at the end of a hold
        if not lookup.was_changed_by_others(status):
            lookup.touch(fd, now_s)


def find(access: Access, key: str) -> Frames | Miss:
    """The leased frames of `key`, or the miss; not counted as anybody's hit or miss.

    Whether the root is in its place is asked first: the entry's full path (R3) would be the same
    through a link that somebody planted where the entries were.
    """
    root = access.root()
    if root is None:
        return Miss(reason=MissReason.UNREADABLE, detail=f"uncached: {access.degraded}")
    found = lookup.lease_entry(root, key, access.policy())
    if isinstance(found, Leased):
        return frames_of(access, root, found, Delivery.HIT)
    return found


def count(access: Access, found: Frames | Miss, *, lost: Delivery | None = None) -> None:
    """Count one request's outcome, once however often it looked: a hit, or a miss by its reason.

    Where frames that it had were `lost` it was counted before; a hit that it had not been is one.
    """
    if isinstance(found, Frames):
        if lost is not Delivery.HIT:
            access.counters.add("hit")
        return
    if lost is None:
        access.counters.add(f"miss.{found.reason}")
    if found.by_digest or found.reason is MissReason.UNVERIFIED:
        access.counters.add("verify_failed")
    if found.error in _NO_DESCRIPTORS:
        access.counters.add("lease_refused")
        events.warn_once("lease-refused", "out of descriptors: a lease was refused")


def frames_of(
    access: Access, root: Root, leased: Leased, delivery: Delivery, miss: Miss | None = None
) -> Frames:
    """The frames of a leased entry; the lease goes with them."""
    sealed = leased.manifest
    return Frames(
        key=sealed.key,
        directory=f"{root.entries_path}/{sealed.key}",
        names=sealed.names,
        frame_bytes=sealed.frame_bytes,
        delivery=delivery,
        hold=EntryHold(leased, access),
        miss=miss,
    )
