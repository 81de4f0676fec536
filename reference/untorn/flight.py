"""Single-flight: of many that want one key, one works and the others wait for it, for a while.

An open-file-description lock on one byte at hash(key) of one file: no file a key, nothing to unlink
(and so no race with an unlink), released by death. It is only thrift: a waiter that has waited
`wait_s` does the work itself, and publishing is right without it.

The lock is not inherited by the decoder: when the worker is killed, the next waiter starts at its
next poll, though the orphaned decoder still writes into its own staging.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from untorn import layout, syscalls
from untorn.lease import Claim
from untorn.root import Root

_FIRST_PAUSE_S = 0.005
_LAST_PAUSE_S = 0.05


class Role(StrEnum):
    """What a request was to its key."""

    LED = "led"  # nobody was at it
    FOLLOWED = "followed"  # waited for another, who is done or dead
    TIMED_OUT = "timed-out"  # waited in vain, and goes on without the lock


@dataclass(frozen=True, slots=True)
class Flight:
    """The turn of one request; `claim` is None where it goes on without the lock."""

    role: Role
    claim: Claim | None

    def land(self) -> None:
        """Let the next one work; a second call does nothing."""
        if self.claim is not None:
            self.claim.release()


def take_off(
    root: Root,
    key: str,
    wait_s: float,
    pause: Callable[[float], None] | None = None,
    *,
    also: Sequence[str] = (),
) -> Flight:
    """Wait for our turn at `key` and at all of `also`, at most `wait_s` seconds (raises OSError).

    `pause` sleeps for so many seconds; what it raises ends the wait. Who wants several bytes takes
    them through one descriptor, in the order of their places, and everybody does: so nobody waits
    for a byte while he holds a later one, and no circle of waits can close.
    """
    flags = os.O_RDWR | os.O_CREAT | syscalls.FILE_FLAGS
    claim = Claim(os.open(layout.FLIGHT_LOCK, flags, 0o600, dir_fd=root.ctl_fd))
    role = Role.LED
    deadline = time.monotonic() + wait_s
    try:
        for offset in sorted({_offset(each) for each in (key, *also)}):
            if syscalls.lock_byte(claim.fd, offset):
                continue
            if not _wait(claim, offset, deadline, pause or time.sleep):
                break
            role = Role.FOLLOWED
        else:
            return Flight(role, claim)
    except BaseException:
        claim.release()
        raise
    claim.release()
    return Flight(Role.TIMED_OUT, None)


def _wait(claim: Claim, offset: int, deadline: float, pause: Callable[[float], None]) -> bool:
    """Lock a byte that another holds; False if that took too long."""
    pause_s = _FIRST_PAUSE_S
    while (left_s := deadline - time.monotonic()) > 0:
        pause(min(pause_s, left_s))
        if syscalls.lock_byte(claim.fd, offset):
            return True
        pause_s = min(pause_s * 2, _LAST_PAUSE_S)
    return False


def _offset(key: str) -> int:
    """56 bits, so that it is a valid off_t; a collision of two keys costs them one wait."""
    digest = hashlib.blake2b(key.encode("ascii"), digest_size=7).digest()
    return int.from_bytes(digest, "big")
