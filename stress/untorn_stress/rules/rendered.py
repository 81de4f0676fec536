"""Rendered (X1, D2, D3, O1; C1, C2, L2): every request has its own frames, whatever calls fail.

Rule 1: a render answers an item for each request, and ends in no error.
Rule 2: what is handed out for a request has the names and the bytes that it gives undisturbed.
Rule 3: an item fails only where a call was made to fail, and then with its decoder's clear error.
Rule 4: when the run is over a fresh worker has every request from the cache, or publishes it.
Rule 5: a worker warns at most once of each cause [log].
Rule 6: as many are counted as published, adopted and hit as were told so [stats]; where frames were
        extracted again, what they were told to be before counts, too, though nobody was told.

Not flagged: frames of requests whose bytes do not tell them (see ``undisturbed``); a read that gave
no bytes, which ``held`` judges; what a backend that declares neither logs nor counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from untorn_conformance.backend import (
    Extracted,
    ExtractOutcome,
    Failed,
    FailedCode,
    FrameRead,
    Logged,
    Rendered,
    Stats,
    Verb,
)
from untorn_conformance.contract import Capability

from untorn_stress.rules.history import History, Holding
from untorn_stress.run import Finding, Operation

_PAST_THE_CACHE: Final = frozenset({ExtractOutcome.UNPUBLISHED, ExtractOutcome.UNCACHED})
_COUNTED: Final = (ExtractOutcome.PUBLISHED, ExtractOutcome.ADOPTED, ExtractOutcome.HIT)
_RE_EXTRACTED: Final = "re_extracted"
_CLEAR: Final = frozenset({FailedCode.DECODER_FAILED, FailedCode.BAD_CLIP})
_WARNING: Final = "warning"


def judge_rendered(history: History) -> Iterator[Finding]:
    """Judge all that was extracted, and every render."""
    for holding in history.of(Extracted):
        yield from _judge_frames(history, holding)
    for operation in history.operations:
        if operation.verb is Verb.RENDER and isinstance(operation.answer, Rendered):
            yield from _judge_items(history, operation, operation.answer)
        elif isinstance(operation.answer, Logged):
            yield from _judge_log(history, operation, operation.answer)
        elif isinstance(operation.answer, Stats):
            yield from _judge_counts(history, operation, operation.answer)


def _judge_frames(history: History, holding: Holding) -> Iterator[Finding]:
    right = history.payloads.footage.get(history.payloads.request(holding.inputs))
    if right is None:
        return
    row, source = _row(history, holding.source, "X1", "C1"), holding.source
    told = f"{source.worker} was handed out by {source.verb}"
    if holding.answer.files != right.names:
        listed = f"{len(holding.answer.files)} frames, where there are {len(right.names)}"
        yield history.finding(row, "other-names", f"{told} {listed}", source)
        return
    for read in holding.reads:
        index = read.args.get("index")
        if (
            isinstance(read.answer, FrameRead)
            and isinstance(index, int)
            and read.answer.sha256 != right.digests[index]
        ):
            message = f"{told} as frame {index} other bytes than it gives undisturbed"
            yield history.finding(row, "other-frames", message, read)
            return


def _judge_items(history: History, operation: Operation, answer: Rendered) -> Iterator[Finding]:
    requests = operation.args.get("requests")
    asked = len(requests) if isinstance(requests, list) else 0
    row = _row(history, operation, "X1", "C2")
    if len(answer.items) != asked:
        message = f"a render of {asked} requests answered {len(answer.items)} items"
        yield history.finding(row, "items", message, operation)
    for item in answer.items:
        if isinstance(item, Failed) and not (operation.faults and item.code in _CLEAR):
            message = f"a request of {operation.worker} failed: {item.code}, {item.message}"
            yield history.finding(row, "failed", message, operation)
        elif (
            isinstance(item, Extracted)
            and history.is_after_the_run(operation)
            and item.outcome in _PAST_THE_CACHE
        ):
            message = f"the run is over, and a fresh render is {item.outcome}: {item.reason}"
            yield history.finding(_row(history, operation, "L2", "C2"), "stuck", message, operation)


def _judge_log(history: History, operation: Operation, answer: Logged) -> Iterator[Finding]:
    warned = Counter(each.cause for each in answer.events if each.level == _WARNING)
    again = [cause for cause, count in warned.items() if count > 1]
    if again:
        message = f"{operation.worker} warned {warned[again[0]]} times of {again[0]}"
        yield history.finding("D3", "warned-again", message, operation)


def _judge_counts(history: History, operation: Operation, answer: Stats) -> Iterator[Finding]:
    if Capability.STATS not in history.capabilities:
        return
    told = Counter(
        each.answer.outcome
        for each in _extracted_by(history, operation)
        if isinstance(each.answer, Extracted)
    )
    again = answer.counters.get(_RE_EXTRACTED, 0)
    for outcome in _COUNTED:
        counted, said = answer.counters.get(outcome.value, 0), told[outcome]
        again -= counted - said
        if counted < said or again < 0:
            message = f"{operation.worker} counted {counted} {outcome}, and answered {said}"
            yield history.finding("O1", "miscounted", message, operation)
            return


def _extracted_by(history: History, operation: Operation) -> list[Holding]:
    """What its worker was handed out before."""
    return [
        each
        for each in history.of(Extracted)
        if each.source.worker == operation.worker and each.source.index < operation.index
    ]


def _row(history: History, operation: Operation, undisturbed: str, after_a_death: str) -> str:
    if history.is_after_the_run(operation):
        if history.killed_at is not None:
            return history.row_of_a_crash(after_a_death)
        return "L2" if undisturbed == "L2" or not history.faulted else "D2"
    return "D2" if history.faulted else undisturbed
