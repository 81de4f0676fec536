"""Single-flight (P7): requests of one clip that is not there do the work once.

Not flagged: a second worker where the run took longer than ``flight_wait_s``, or where the first
one's frames could not be published; anything beside a collector, a fault or a request
without an answer; bytes of requests that
each did the work, since decoders need not repeat themselves.
"""

from __future__ import annotations

from collections.abc import Iterator

from untorn_conformance.backend import Extracted, ExtractOutcome, FrameRead, Verb
from untorn_conformance.contract import Capability

from untorn_stress.rules.history import History, Holding
from untorn_stress.run import Finding

_UNSHARED = {ExtractOutcome.UNPUBLISHED, ExtractOutcome.UNCACHED}


def judge_flight(history: History) -> Iterator[Finding]:
    """Judge all extractions of a run, which are of one clip."""
    asked = [each for each in history.operations if each.verb is Verb.EXTRACT]
    answered = all(isinstance(each.answer, Extracted) for each in asked)
    collects = any(each.verb is Verb.COLLECT for each in history.operations)
    if not asked or not answered or history.faulted or collects or history.run.tree != "empty":
        return
    requests = list(history.of(Extracted))
    yield from _alike(history, requests)
    outcomes = [_outcome(each) for each in requests]
    workers = [each for each in outcomes if each is not ExtractOutcome.HIT]
    if Capability.SINGLE_FLIGHT not in history.capabilities or history.waited_out:
        return
    if len(workers) != 1 and not _UNSHARED & set(outcomes):
        last = max((each.source for each in requests), key=lambda each: each.ended)
        message = f"the work was done {len(workers)} times: {', '.join(outcomes)}"
        yield history.finding("P7", "worked-twice", message, last)


def _alike(history: History, requests: list[Holding]) -> Iterator[Finding]:
    """Who hit reads the published frames."""
    published = [each for each in requests if _outcome(each) is ExtractOutcome.PUBLISHED]
    for hit in requests:
        if len(published) == 1 and _outcome(hit) is ExtractOutcome.HIT:
            right, found = _bytes(published[0]), _bytes(hit)
            differing = [index for index in right.keys() & found if right[index] != found[index]]
            if differing or hit.answer.files != published[0].answer.files:
                message = f"{hit.source.worker} hit other frames than were published"
                yield history.finding("R1", "other-frames", message, hit.source)


def _outcome(request: Holding) -> ExtractOutcome:
    assert isinstance(request.answer, Extracted)
    return request.answer.outcome


def _bytes(request: Holding) -> dict[object, str]:
    return {
        read.args.get("index"): read.answer.sha256
        for read in request.reads
        if isinstance(read.answer, FrameRead)
    }
