"""Acknowledged is found (R2): what was published or served and not removed, a lookup finds.

Rule 1: it was there: a publish was answered published or adopted, or a lookup hit, before this
        lookup began; or the key was complete at the start.
Rule 2: it was not removed: no collect may have run since, or, with leases, whoever was handed the
        entry holds it until the lookup has ended.
Rule 3: ``busy`` is allowed while anybody is at work, not when the run is over.

Not flagged: a miss beside a collect; a miss of what an outsider harmed, though a lookup hit it
before; a lookup whose calls fail, or may fail still; anything without trusted locks, where a cache
may rather not serve.
"""

from __future__ import annotations

from collections.abc import Iterator

from untorn_conformance.backend import Adopted, Hit, Miss, MissReason, Published, Verb
from untorn_conformance.contract import Capability

from untorn_stress.rules.history import History, Holding, may_remove, precedes
from untorn_stress.run import Finding, Operation
from untorn_stress.scenario import KeyState


def judge_found(history: History) -> Iterator[Finding]:
    """Judge every miss."""
    if not history.trusts_locks:
        return
    for lookup in history.operations:
        answer = lookup.answer
        if lookup.verb is not Verb.LOOKUP or not isinstance(answer, Miss):
            continue
        if history.is_afflicted(lookup):
            continue
        if answer.reason is MissReason.BUSY and not history.is_after_the_run(lookup):
            continue
        why = _why_it_is_there(history, lookup)
        if why:
            message = f"{lookup.worker} missed ({answer.reason}), though {why}"
            yield history.finding("R2", "not-found", message, lookup)


def _why_it_is_there(history: History, lookup: Operation) -> str:
    label = history.payloads.label(lookup.args.get("key"))
    for holding in history.of(Published, Adopted, Hit):
        if holding.label == label and precedes(holding.source, lookup):
            if history.is_after_the_run(holding.source) and not isinstance(holding.answer, Hit):
                return ""  # the aftermath's own publish is judged there
            if _proves(history, holding) and _remains(history, holding, lookup):
                name = type(holding.answer).__name__.lower()
                return f"{holding.source.worker} was answered {name} before"
    if history.start(label) is KeyState.COMPLETE and not _collects_before(history, lookup):
        return "the entry was complete at the start and nobody collected"
    return ""


def _proves(history: History, holding: Holding) -> bool:
    """Whether the answer means that a complete entry is there; a hit may be one of a harmed."""
    is_hit = isinstance(holding.answer, Hit)
    return not is_hit or history.start(holding.label) in {KeyState.ABSENT, KeyState.COMPLETE}


def _remains(history: History, holding: Holding, lookup: Operation) -> bool:
    if not history.removals_amid(holding.source, lookup):
        return True
    if Capability.LEASE not in history.capabilities or history.is_after_the_run(lookup):
        return False  # the workers of the run were closed, and nothing is held by them
    return holding.release is None or precedes(lookup, holding.release)


def _collects_before(history: History, lookup: Operation) -> bool:
    return any(
        each.verb is Verb.COLLECT and may_remove(each) and not precedes(lookup, each)
        for each in history.operations
    )
