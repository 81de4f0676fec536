"""Happens-before: one number for all the orders in which the same steps come to the same thing.

Two steps are ordered when one actor took both, or when they conflict; the rest is chance. Prefixes
with the same partial order lead to the same state, and have the same hash here.

Rule 1: a step's digest stands for its label, its place among its actor's steps, and the last write
        before it of each object that it touches. That a write comes after a read needs no mention
        of its own: the read's digest does not know of the write.
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
from typing import Final

from untorn_stress.schedulers.protocol import Executed

DIGEST_BYTES: Final = 16
_MODULUS_MASK: Final = (1 << (8 * DIGEST_BYTES)) - 1


class HappensBefore:
    """The partial order of one run so far, as a hash that grows with each step."""

    __slots__ = ("_barrier", "_latest", "_taken", "_writes", "value")

    def __init__(self) -> None:
        self.value = 0
        self._taken: dict[str, int] = {}
        self._latest: dict[str, bytes] = {}  # each actor's last step since the barrier
        self._writes: dict[str, bytes] = {}  # each object's last write since the barrier
        self._barrier = b""  # the last opaque step

    def add(self, step: Executed) -> int:
        """Add a step that was taken; returns the hash of all steps so far."""
        actor = step.actor
        place = self._taken.get(actor, 0)
        self._taken[actor] = place + 1
        name = f"{step.label}\0{place}\0".encode()
        digest = blake2b(name + self._predecessors(step), digest_size=DIGEST_BYTES).digest()
        self._latest[actor] = digest
        self._record(step, digest)
        self.value = (self.value + int.from_bytes(digest, "little")) & _MODULUS_MASK
        return self.value

    def _predecessors(self, step: Executed) -> bytes:
        footprint = step.footprint
        if footprint.opaque:
            found = set(self._latest.values())
        else:
            writes = self._writes
            found = {writes[name] for name in footprint.writes if name in writes}
            found.update(writes[name] for name in footprint.reads if name in writes)
        return self._barrier + b"".join(sorted(found))

    def _record(self, step: Executed, digest: bytes) -> None:
        if step.footprint.opaque:
            self._latest.clear()
            self._writes.clear()
            self._barrier = digest
            return
        for name in step.footprint.writes:
            self._writes[name] = digest
