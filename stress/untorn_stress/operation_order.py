"""The order of operations as an object: what ended before what began is judged, so it must count.

Rules ask whether one operation was over before another began (a lookup *after* an acknowledged
publish). Two schedules that differ in this alone touch the same files in the same order, so without
an object for it a search would cut one of them.

Rule 1: the step within which an operation of A ends writes ``past:A``.
Rule 2: the first step of an operation of B reads ``past:A`` of every other worker A.
Rule 3: only verbs that rules set in order count: what is looked up, published, evicted, extracted.

Whether a pending step will end its operation is not known before it is taken; who must know what
a step may touch at most (sleep sets) has every step of an operation count as its last.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from untorn_conformance.backend import Verb

from untorn_stress.player import Asked
from untorn_stress.schedulers.protocol import Footprint

ORDERED: Final = frozenset({Verb.LOOKUP, Verb.PUBLISH, Verb.COLLECT, Verb.EXTRACT})


def before(current: Asked | None, letters: Iterable[str], *, at_most: bool = False) -> Footprint:
    """What a worker's next step adds: it begins its operation if it took none for it yet."""
    if current is None or current.ask.verb not in ORDERED:
        return Footprint()
    own = current.worker
    begins = not current.has_moved
    return Footprint(
        reads=_past(letters, own) if begins else frozenset(),
        writes=frozenset({f"past:{own}"}) if at_most else frozenset(),
    )


def after(ended: Iterable[Asked], letters: Iterable[str]) -> Footprint:
    """What a step adds within which these operations of its worker ended."""
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    for asked in ended:
        if asked.ask.verb in ORDERED:
            writes |= {f"past:{asked.worker}"}
            if not asked.has_moved:
                reads |= _past(letters, asked.worker)
    return Footprint(reads, writes)


def joined(one: Footprint, other: Footprint) -> Footprint:
    """What both touch."""
    if not other.reads and not other.writes:
        return one
    writes = one.writes | other.writes
    return Footprint((one.reads | other.reads) - writes, writes, one.opaque or other.opaque)


def _past(letters: Iterable[str], own: str) -> frozenset[str]:
    return frozenset(f"past:{letter}" for letter in letters if letter != own)
