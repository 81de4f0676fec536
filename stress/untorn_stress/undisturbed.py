"""What requests give when nothing befalls them: by that the frames of all runs are judged.

Rule 1: each request of a scenario is extracted alone, of an empty root, and again in what the
        scenario does, from its tree. Frames are told by their bytes only where both give the same:
        a decoder need not repeat itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from untorn_conformance.backend import Extracted, FrameRead

from untorn_stress.payloads import Payloads, RequestFrames
from untorn_stress.rules.history import Holding, handles_of
from untorn_stress.run import Operation
from untorn_stress.scenario import Ask, Program


def requests_of(programs: Iterable[Program], payloads: Payloads) -> list[object]:
    """The inputs of all extractions that the programs ask for first, each once."""
    found: dict[str, object] = {}
    for program in programs:
        ask = next(program(payloads), None)
        for inputs in _inputs(ask):
            found.setdefault(payloads.request(inputs), inputs)
    return list(found.values())


def _inputs(ask: Ask | None) -> list[object]:
    requests = None if ask is None else ask.args.get("requests")
    return list(requests) if isinstance(requests, Sequence) else []


def footage_of(operations: tuple[Operation, ...], payloads: Payloads) -> dict[str, RequestFrames]:
    """What these operations were handed out, whole, by request."""
    holdings, _ = handles_of(operations, payloads)
    return {
        payloads.request(each.inputs): RequestFrames(each.answer.files, digests)
        for each in holdings
        if isinstance(each.answer, Extracted)
        if len(digests := _digests(each)) == len(each.answer.files)
    }


def _digests(holding: Holding) -> tuple[str, ...]:
    reads = (each.answer for each in holding.reads)
    return tuple(each.sha256 for each in reads if isinstance(each, FrameRead))


def agreeing(
    alone: dict[str, RequestFrames], together: dict[str, RequestFrames]
) -> dict[str, RequestFrames]:
    """The footage that was the same both times."""
    return {each: found for each, found in alone.items() if together.get(each) == found}
