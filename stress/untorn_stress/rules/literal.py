"""Histories as text: one operation a line, so that a rule's tests are four lines each.

    A 0-4 publish wA -> published        asked before step 0, answered after step 3; staged before
    B 2-5 lookup -> hit                  or: miss absent
    B 5-6 read 0 -> wA                   or: wA.1 (its file 1), l.wA.0 (of key l), ? (nobody's),
                                         evicted, damaged
    B 6-6 release
    C 1-9 collect -> evicted 1 freed 7   or: evicted 0 over 5 leased 1, skipped
    A 0-9 extract -> published
    A 0-? publish wA                     never answered
    A 0-3 lookup !EIO -> miss absent     one of its calls was made to fail
    --                                   what follows is the aftermath

A key other than k is named: ``publish wA l``, ``lookup l``. Any operation may end in ``-> error``,
``-> decoder-failed`` or, where only the harness says it, ``-> died``. ``lists 1 0`` after an answer
gives other files.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from untorn_conformance.backend import (
    Adopted,
    Collected,
    Damaged,
    Evicted,
    Extracted,
    ExtractOutcome,
    FrameRead,
    Hit,
    Miss,
    MissReason,
    Published,
    Skipped,
    Staged,
    Unpublished,
    UnpublishedReason,
    Verb,
)
from untorn_conformance.contract import Capability
from untorn_conformance.errors import BackendError, ErrorCode

from untorn_stress.payloads import LABELS, Payloads
from untorn_stress.rules.history import Aftermath, Debris
from untorn_stress.rules.judge import judge
from untorn_stress.run import Finding, Operation, Run, Step
from untorn_stress.scenarios import scenario

PAYLOADS = Payloads(Path("/nowhere"))
LEASE = frozenset({Capability.LEASE})
FLIGHT = frozenset({Capability.EXTRACT, Capability.SINGLE_FLIGHT})
NOTHING: frozenset[Capability] = frozenset()

_ERRORS = {
    "error": ErrorCode.INTERNAL,
    "died": ErrorCode.DIED,
    "decoder-failed": ErrorCode.DECODER_FAILED,
}


class _Reader:
    """Turns lines into operations; handles are numbered, each worker uses its last one."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._last: dict[str, str] = {}
        self._label: dict[str, str] = {}
        self._faults: tuple[str, ...] = ()

    def line(self, text: str) -> None:
        left, _, right = (part.strip() for part in text.partition("->"))
        worker, span, verb, *rest = left.split()
        words = [word for word in rest if word[0] != "!"]
        self._faults = tuple(word[1:] for word in rest if word[0] == "!")
        began, ended = span.split("-")
        done = -1 if ended == "?" else int(ended)
        args: dict[str, object] = {}
        tag = ""
        if verb == "publish":
            tag, label = words[0], words[1] if words[1:] else "k"
            staging = f"s{len(self.operations)}"
            key: dict[str, object] = {"key": PAYLOADS.key(label)}
            self._add(worker, Verb.STAGE, key, tag, int(began), int(began), Staged(handle=staging))
            args, self._label[worker] = {"handle": staging}, label
        elif verb == "lookup":
            self._label[worker] = words[0] if words else "k"
            args = {"key": PAYLOADS.key(self._label[worker])}
        elif verb == "read":
            args = {"handle": self._last[worker], "index": int(words[0])}
        elif verb == "release":
            args = {"handle": self._last[worker]}
        answer = self._answer(worker, Verb(verb), args, right.split()) if right else None
        self._add(worker, Verb(verb), args, tag, int(began), done, answer)

    def _add(
        self,
        worker: str,
        verb: Verb,
        args: dict[str, object],
        tag: str,
        began: int,
        ended: int,
        answer: object,
    ) -> None:
        self.operations.append(
            Operation(
                index=len(self.operations),
                worker=worker,
                verb=verb,
                args=args,
                tag=tag,
                began=began,
                ended=ended,
                answer=answer,
                faults=self._faults,
            )
        )

    def _answer(self, worker: str, verb: Verb, args: dict[str, object], words: list[str]) -> object:
        word, *rest = words
        if verb is Verb.READ:
            return self._read(worker, args, word)
        if word in _ERRORS:
            return BackendError(_ERRORS[word], "so")
        if word == "miss":
            return Miss(reason=MissReason(rest[0]))
        if word == "skipped":
            return Skipped(reason="another")
        if word == "evicted":
            told = dict(zip(rest[1::2], map(int, rest[2::2]), strict=True))
            protected = {name: count for name, count in told.items() if name == "leased"}
            return Collected(
                evicted=int(rest[0]),
                freed_bytes=told.get("freed", 0),
                reaped=0,
                over_budget_bytes=told.get("over", 0),
                protected=protected,
            )
        return self._handed(worker, verb, word, rest)

    def _handed(self, worker: str, verb: Verb, word: str, rest: list[str]) -> object:
        handle = self._last[worker] = f"h{len(self.operations)}"
        files = PAYLOADS.names
        if "lists" in rest:
            at = rest.index("lists")
            files, rest = tuple(files[int(each)] for each in rest[at + 1 :]), rest[:at]
        if verb is Verb.EXTRACT:
            return Extracted(handle=handle, files=files, outcome=ExtractOutcome(word))
        if word == "unpublished":
            reason, errno = UnpublishedReason(rest[0]), rest[1] if rest[1:] else None
            step = None if errno is None else "rename"
            return Unpublished(handle=handle, files=files, reason=reason, errno=errno, step=step)
        answers = {"hit": Hit, "published": Published, "adopted": Adopted}
        return answers[word](handle=handle, files=files)

    def _read(self, worker: str, args: dict[str, object], word: str) -> object:
        if word in {"evicted", "damaged"}:
            return Evicted() if word == "evicted" else Damaged()
        if word == "error":
            return BackendError(ErrorCode.INTERNAL, "so")
        if word == "?":
            return FrameRead(sha256="0" * 64, bytes=1)
        label = self._label.get(worker, "k")
        parts = word.split(".")
        if parts[0] in LABELS:
            label, *parts = parts
        index = int(parts[1]) if parts[1:] else int(str(args["index"]))
        return FrameRead(sha256=PAYLOADS.digests(label, parts[0])[index], bytes=64)


def judged(
    text: str,
    *,
    tree: str = "empty",
    of: str = "writer-writer",
    capabilities: frozenset[Capability] = LEASE,
    fault: bool = False,
    kill: bool = False,
    lost_bytes: int | None = None,
    debris: Debris | None = None,
    waited_out: bool = False,
    collects: bool = True,
    uses_locks: bool = True,
    cut: bool = False,
    choices: tuple[str, ...] = (),
) -> tuple[Finding, ...]:
    """What all rules find in the history; the scenario matters for its labels and locks.

    ``fault``: a call of each operation of the run was made to fail.
    """
    run_text, _, after_text = text.partition("--")
    run_lines, after_lines = _Reader(), _Reader()
    for lines, part in ((run_lines, run_text), (after_lines, after_text)):
        for line in filter(None, map(str.strip, part.splitlines())):
            lines.line(line)
    if fault:
        run_lines.operations = [replace(each, faults=("EIO",)) for each in run_lines.operations]
    count = max((each.ended for each in run_lines.operations), default=0)
    steps = tuple(
        Step(number=n, actor="A", label="A", operation=-1, call="stat", detail="", result="0")
        for n in range(count)
    )
    run = Run(
        scenario=of,
        tree=tree,
        seed=0,
        choices=choices or (("A!kill",) if kill else ("A",)),
        steps=steps,
        operations=tuple(run_lines.operations),
        cut=cut,
    )
    after = Aftermath(
        operations=tuple(after_lines.operations), lost_bytes=lost_bytes, debris=debris
    )
    return judge(
        run,
        scenario(of),
        PAYLOADS,
        capabilities,
        after,
        waited_out=waited_out,
        collects=collects,
        uses_locks=uses_locks,
    )


def rows(findings: tuple[Finding, ...]) -> list[str]:
    """The findings in short: ``P2 winners``."""
    return [f"{each.requirement} {each.rule}" for each in findings]
