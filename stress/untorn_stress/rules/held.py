"""Kept while held (R4, R5; P1, C1, P3, P5 where no collector is to blame).

Rule 1: with the capability lease, what was handed out reads until its release, whatever collects.
Rule 2: without it, a collector may take the files from under a reader, and nobody else may.
Rule 3: what was not published reads too, until released: it is the caller's own work.

Not flagged: ``evicted`` without a lease beside a collect; reads of a hit of what an outsider harmed
before the run; without a lease, a read beside a writer of a hit of what a crash left, since the
writer may end a removal that the crash interrupted; a read whose calls fail, or may fail still.
"""

from __future__ import annotations

from collections.abc import Iterator

from untorn_conformance.backend import Damaged, Evicted, Unpublished

from untorn_stress.rules.history import History, Holding, precedes
from untorn_stress.run import Finding, Operation


def judge_held(history: History) -> Iterator[Finding]:
    """Judge every read that gave no bytes; one finding a handle."""
    for holding in history.holdings:
        lost = [
            each
            for each in holding.reads
            if isinstance(each.answer, Evicted | Damaged) and not history.is_afflicted(each)
        ]
        if lost and history.is_sound(holding):
            yield from _judge_lost(history, holding, lost[0])


def _judge_lost(history: History, holding: Holding, read: Operation) -> Iterator[Finding]:
    word = type(read.answer).__name__.lower()
    given = type(holding.answer).__name__.lower()
    told = f"{read.worker} read file {read.args.get('index')} of its {given} and was told {word}"
    if isinstance(holding.answer, Unpublished):
        message = f"{told}: the caller lost its own frames"
        yield history.finding("P5", "own-frames-lost", message, read)
    elif not history.removals_amid(holding.source, read):
        yield from _blame(history, holding, read, told)
    elif history.leases:
        yield history.finding("R4", "lost-while-held", f"{told}, though it held them", read)


def _blame(history: History, holding: Holding, read: Operation, told: str) -> Iterator[Finding]:
    """No collector was at work: a writer took the entry, or it was torn from the start."""
    writing = [
        each
        for each in history.publishes
        if each.label == holding.label
        and each.operation.worker != read.worker
        and not precedes(each.operation, holding.source)
        and not precedes(read, each.operation)
    ]
    if not writing:
        message = f"{told}, and nobody was at work beside it"
        yield history.finding(history.torn_row(holding), "torn", message, read)
    elif history.leases or not history.may_be_of_a_crash(holding):
        names = ", ".join(each.writer for each in writing)
        yield history.finding("P3", "taken-by-a-writer", f"{told} beside {names} alone", read)
