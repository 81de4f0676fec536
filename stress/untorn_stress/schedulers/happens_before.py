"""Happens-before: one number for all the orders in which the same steps come to the same thing.

Two steps are ordered when one actor took both, or when they conflict; the rest is chance. Prefixes
with the same partial order lead to the same state, and have the same hash here.

Rule 1: a step's digest stands for its label, its actor's step before it, the last write before it
        of each object that it touches, and the reads since of each that it writes: for all that can
        have influenced it. A read counts as well: who shares a lock decides what an exclusive
        attempt comes to.
Rule 2: an opaque step comes after everything before it and before everything after it.
Rule 3: a prefix's hash is the sum of its steps' digests modulo 2**128: the order in which unordered
        steps were taken leaves no trace in it.

Footprints are no part of a digest: what a step touches follows from what came before it, or the
system is not deterministic.

Sources: Mazurkiewicz, Trace Theory (1986); Musuvathi and Qadeer, Partial-Order Reduction for
Context-Bounded State Exploration (MSR-TR-2007-12).
"""

from __future__ import annotations

from hashlib import blake2b
from itertools import repeat
from typing import Final

from untorn_stress.schedulers.protocol import Executed, Footprint

DIGEST_BYTES: Final = 16
_MODULUS_MASK: Final = (1 << (8 * DIGEST_BYTES)) - 1
_NOTHING: Final = repeat(b"")
_NO_READS: Final[repeat[tuple[bytes, ...]]] = repeat(())


class HappensBefore:
    """The partial order of one run so far, as a hash that grows with each step."""

    __slots__ = ("_barrier", "_latest", "_reads", "_writes", "value")

    def __init__(self) -> None:
        self.value = 0
        self._latest: dict[str, bytes] = {}  # each actor's last step since the barrier
        self._writes: dict[str, bytes] = {}  # each object's last write since the barrier
        self._reads: dict[str, tuple[bytes, ...]] = {}  # each object's reads since its last write
        self._barrier = b""  # the last opaque step

    def copy(self) -> HappensBefore:
        """The same order, to be gone on with apart from this one."""
        made = HappensBefore()
        made.value = self.value
        made._latest = self._latest.copy()
        made._writes = self._writes.copy()
        made._reads = self._reads.copy()
        made._barrier = self._barrier
        return made

    def add(self, step: Executed) -> int:
        """Add a step that was taken; returns the hash of all steps so far."""
        actor, footprint = step.actor, step.footprint
        before = self.last_of(actor) + self.causes(footprint)
        digest = blake2b(f"{step.label}\0".encode() + before, digest_size=DIGEST_BYTES).digest()
        if footprint.opaque:
            self._latest.clear()
            self._writes.clear()
            self._reads.clear()
            self._barrier = digest
        else:
            self._latest[actor] = digest
            self._record(footprint, digest)
        self.value = (self.value + int.from_bytes(digest, "little")) & _MODULUS_MASK
        return self.value

    def _record(self, footprint: Footprint, digest: bytes) -> None:
        reads = self._reads
        for name in footprint.reads:
            reads[name] = (*reads.get(name, ()), digest)
        for name in footprint.writes:
            self._writes[name] = digest
            reads.pop(name, None)

    def last_of(self, actor: str) -> bytes:
        """The digest of the actor's last step, or of the opaque one since; empty before both."""
        return self._latest.get(actor, self._barrier)

    def causes(self, footprint: Footprint) -> bytes:
        """The digests of what such a step would come after, were it taken now."""
        if footprint.opaque:
            found = set(self._latest.values())
        else:
            writes, reads = self._writes, self._reads
            found = set(map(writes.get, footprint.reads, _NOTHING))
            found.update(map(writes.get, footprint.writes, _NOTHING))
            found.update(*map(reads.get, footprint.writes, _NO_READS))
            found.discard(b"")
        return self._barrier + b"".join(sorted(found))
