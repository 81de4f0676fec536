"""The order of operations as an object: what ended before what began is judged, so it must count.

Rules ask whether one operation was over before another began (a lookup *after* an acknowledged
publish). Two schedules that differ in this alone touch the same files in the same order, so without
an object for it a search would cut one of them.

Rule 1: the step within which an operation of A ends writes ``past:A``.
Rule 2: the step with which an operation of B begins reads ``past:A`` of every other worker A: its
        first step, or the one within which it was asked where it may have read files before.
Rule 3: only verbs that rules set in order count: what is looked up, published, evicted, extracted
        has both a beginning and an end; of a read its end counts, of a release its beginning.
Rule 4: the step within which an operation of A ends, of whatever verb, writes ``said:A``, which
        nobody reads. When A has died, its answers are all that remains of what it knew.

Whether a pending step will end its operation is not known before it is taken; who must know what
a step may touch at most (sleep sets) has every step of an operation count as its last.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from untorn_conformance.backend import Verb

from untorn_stress.player import Asked
from untorn_stress.schedulers.protocol import NOTHING, Footprint

_ORDERED: Final = frozenset({Verb.LOOKUP, Verb.PUBLISH, Verb.COLLECT, Verb.EXTRACT, Verb.RENDER})
_BEGINS: Final = _ORDERED | {Verb.RELEASE}
_ENDS: Final = _ORDERED | {Verb.READ}


def before(current: Asked | None, letters: Iterable[str], *, at_most: bool = False) -> Footprint:
    """What a worker's next step adds: it begins its operation if it took none for it yet."""
    if current is None:
        return NOTHING
    own, verb = current.worker, current.ask.verb
    begins = verb in _BEGINS and not current.has_moved and not current.may_have_read
    ends = verb in _ENDS and at_most
    if not begins and not ends:
        return NOTHING
    return _unseen(
        _past(letters, own) if begins else frozenset(),
        frozenset({f"past:{own}"}) if ends else frozenset(),
    )


def after(ended: Iterable[Asked], asked: Asked | None, letters: Iterable[str]) -> Footprint:
    """What a step adds within which operations of its worker ended, and one was asked."""
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    for each in ended:
        writes |= {f"said:{each.worker}"}
        if each.ask.verb in _ENDS:
            writes |= {f"past:{each.worker}"}
        if each.ask.verb in _BEGINS and not each.has_moved:
            reads |= _past(letters, each.worker)
    if asked is not None and asked.ask.verb in _BEGINS and asked.may_have_read:
        reads |= _past(letters, asked.worker)
    return _unseen(reads, writes)


def _unseen(reads: frozenset[str], writes: frozenset[str]) -> Footprint:
    """It is for those who judge: no worker learns anything of it."""
    return Footprint(reads, writes, unseen=reads | writes)


def _past(letters: Iterable[str], own: str) -> frozenset[str]:
    return frozenset(f"past:{letter}" for letter in letters if letter != own)
