"""Whole (P1, C1, C4, R1, G9): what is handed out is every file of one publish, in order.

Rule 1: the files listed are those of one publish: all of them, in frame order.
Rule 2: all bytes read through one handle are of one writer, of the handle's key, each of the frame
        that was asked for. Bytes that nobody wrote are a short or a foreign file.
Rule 3: nobody is shown work whose publish was not asked for yet.

Not flagged: a miss; an eviction (see ``held``); a shorter list of files of an entry that an
outsider harmed before the run and nobody touched since (T1 allows it to be found later).
"""

from __future__ import annotations

from collections.abc import Iterator

from untorn_conformance.backend import Extracted, Hit, Published, Unpublished, Verb

from untorn_stress.payloads import Origin
from untorn_stress.rules.history import History, Holding, precedes
from untorn_stress.run import Finding, Operation


def judge_whole(history: History) -> Iterator[Finding]:
    """Judge every handle of a lookup or a publish."""
    for holding in history.holdings:
        if isinstance(holding.answer, Extracted) or holding.label is None:
            continue  # whose bytes those are, we cannot know
        yield from _judge_files(history, holding)
        yield from _judge_bytes(history, holding)
        yield from _judge_early(history, holding)


def _judge_files(history: History, holding: Holding) -> Iterator[Finding]:
    files, names = holding.answer.files, history.payloads.names
    if files == names:
        return
    listed = ", ".join(files) or "no file"
    source = holding.source
    if sorted(files) == sorted(names):
        yield history.finding("R1", "order", f"{_who(holding)} listed {listed}", source)
    elif history.is_sound(holding):
        evicting = isinstance(holding.answer, Hit) and history.removals_amid(source, source)
        row = history.torn_row(holding)
        requirement = "G9" if evicting and row == "P1" else row
        message = f"{_who(holding)} listed {listed}; published were {', '.join(names)}"
        yield history.finding(requirement, "in-part", message, source)


def _judge_bytes(history: History, holding: Holding) -> Iterator[Finding]:
    first: Origin | None = None
    origins = history.origins(holding)
    for read in holding.reads:
        if read.index not in origins:
            continue
        origin, index = origins[read.index], read.args.get("index")
        frame = _listed_at(history, holding, index)
        told = f"{_who(holding)} gave as file {index}"
        if origin is None:
            row, message = history.torn_row(holding), f"{told} bytes that nobody wrote"
            yield history.finding(row, "nobodys-bytes", message, read)
        elif origin.label != holding.label:
            message = f"{told} bytes of another key: {origin}"
            yield history.finding("R1", "another-key", message, read)
        elif origin.index != frame:
            message = f"{told} the bytes of file {origin.index}"
            yield history.finding("R1", "another-frame", message, read)
        elif first is not None and origin.writer != first.writer:
            message = f"{told} bytes of {origin.writer}, after those of {first.writer}"
            yield history.finding("P1", "two-writers", message, read)
        else:
            first = first or origin
            yield from _judge_own(history, holding, origin, read)


def _listed_at(history: History, holding: Holding, index: object) -> object:
    """Which frame the handle lists there: an entry that an outsider thinned has fewer (T1)."""
    files, names = holding.answer.files, history.payloads.names
    if isinstance(index, int) and index < len(files) and files[index] in names:
        return names.index(files[index])
    return index


def _judge_own(
    history: History, holding: Holding, origin: Origin, read: Operation
) -> Iterator[Finding]:
    """Who published, or could not, reads its own work."""
    if origin.writer == holding.writer:
        return
    if isinstance(holding.answer, Published):
        message = f"{_who(holding)} gave bytes of {origin.writer}"
        yield history.finding("R1", "not-its-own", message, read)
    elif isinstance(holding.answer, Unpublished):
        message = f"{_who(holding)} gave bytes of {origin.writer}, not the caller's own"
        yield history.finding("P5", "not-its-own", message, read)


def _judge_early(history: History, holding: Holding) -> Iterator[Finding]:
    """Work that was staged in this history shows no sooner than its publish is asked for."""
    source = holding.source
    for writer in sorted(history.writers_read(holding)):
        staged = [each for each in history.operations if _stages(history, each, holding, writer)]
        asked = [
            each
            for each in history.publishes
            if (each.label, each.writer) == (holding.label, writer)
            and not precedes(source, each.operation)
        ]
        if staged and not asked:
            message = f"{_who(holding)} shows the work of {writer}, who had not asked to publish it"
            yield history.finding("P1", "early", message, source)


def _stages(history: History, operation: Operation, holding: Holding, writer: str) -> bool:
    is_stage = operation.verb is Verb.STAGE and operation.tag == writer
    return is_stage and history.payloads.label(operation.args.get("key")) == holding.label


def _who(holding: Holding) -> str:
    name = type(holding.answer).__name__.lower()
    return f"the answer {name} of {holding.source.worker}"
