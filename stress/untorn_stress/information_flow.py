"""Information flow: one digest for all that can have influenced a step.

It is coarser than ``happens_before``: who only looked at an object changed nothing for those who
come after. Traces that differ in such an order alone are two, each to be judged by itself, and yet
every step of one goes as it does in the other.

Rule 1: a step's digest stands for its label, its actor's step before it, and the last write before
        it of each object that it touches, read or written.
Rule 2: where reads leave a trace themselves they count for who writes next: whoever shares a lock
        bars others from it, whoever takes an inode's number leaves another to the next.
Rule 3: the order of operations (``operation_order``) is for judges: it changes no step.
Rule 4: an opaque step comes after everything before it and before everything after it.

Source: Goguen and Meseguer, Security Policies and Security Models (IEEE S&P 1982): what does not
interfere with an actor can be left out, and the actor sees the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final

from untorn_stress.schedulers.happens_before import DIGEST_BYTES
from untorn_stress.schedulers.protocol import Executed, Footprint

LEAVES_A_TRACE: Final = ("l:", "#")
"""How the names of objects begin that a read changes: locks, and what all inodes share."""

FOR_JUDGES: Final = "past:"
"""How the names of objects begin that no step depends on."""


class InformationFlow:
    """What has influenced what in one run so far."""

    __slots__ = ("_barrier", "_latest", "_reads", "_writes")

    def __init__(self) -> None:
        self._latest: dict[str, bytes] = {}  # each actor's last step since the barrier
        self._writes: dict[str, bytes] = {}  # each object's last write since the barrier
        self._reads: dict[str, list[bytes]] = {}  # reads since that, where they leave a trace
        self._barrier = b""  # the last opaque step

    def add(self, step: Executed) -> None:
        """Add a step that was taken."""
        actor, footprint = step.actor, step.footprint
        before = self.last_of(actor) + self.causes(footprint)
        digest = blake2b(f"{step.label}\0".encode() + before, digest_size=DIGEST_BYTES).digest()
        if footprint.opaque:
            self._latest.clear()
            self._writes.clear()
            self._reads.clear()
            self._barrier = digest
            return
        self._latest[actor] = digest
        for name in footprint.reads:
            if name.startswith(LEAVES_A_TRACE):
                self._reads.setdefault(name, []).append(digest)
        for name in _matters(footprint.writes):
            self._writes[name] = digest
            self._reads.pop(name, None)

    def last_of(self, actor: str) -> bytes:
        """The digest of the actor's last step, or of the opaque one since; empty before both."""
        return self._latest.get(actor, self._barrier)

    def causes(self, footprint: Footprint) -> bytes:
        """The digests of what would influence such a step, were it taken now."""
        if footprint.opaque:
            found = set(self._latest.values())
        else:
            writes, reads = self._writes, self._reads
            found = {writes[name] for name in footprint.reads if name in writes}
            for name in _matters(footprint.writes):
                if name in writes:
                    found.add(writes[name])
                if name in reads:
                    found.update(reads[name])
        return self._barrier + b"".join(sorted(found))


def _matters(names: Iterable[str]) -> Iterator[str]:
    return (name for name in names if not name.startswith(FOR_JUDGES))
