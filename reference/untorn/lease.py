"""A lease: a reader's claim that gc respects.

It is a shared flock on the entry directory's own descriptor. So it follows the directory through
every rename, dies with the process, needs no file and no clock, and holds one descriptor. It is
released by closing and never by LOCK_UN, which would drop a forked child's protection as well.

Fork: a child inherits the open file description, so a lease would outlive its owner in a pool
worker. After a fork the child therefore closes every lease that it inherited; it opens its own.
Threads: every lease opens the directory itself, so leases of threads are independent.
"""

from __future__ import annotations

import contextlib
import os
import weakref


class Claim:
    """An open, locked directory; closed once, by whoever is first."""

    __slots__ = ("__weakref__", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        _claims.add(self)

    @property
    def released(self) -> bool:
        """Whether the descriptor is closed."""
        return self.fd < 0

    def release(self) -> None:
        """Close the descriptor; a second call does nothing.

        What close(2) says of it (EIO, EDQUOT) is about data, and nothing was written through a
        lock; it is closed whatever it says.
        """
        fd, self.fd = self.fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)

    def hand_over(self) -> int:
        """Give the descriptor to the caller, who now closes it."""
        fd, self.fd = self.fd, -1
        return fd

    def __del__(self) -> None:
        """Whoever dropped it without a release (an exception at the wrong moment) leaks no lock."""
        self.release()


_claims: weakref.WeakSet[Claim] = weakref.WeakSet()


def _close_inherited() -> None:
    for claim in list(_claims):
        claim.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)
