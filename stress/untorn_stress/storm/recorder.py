"""The recorder of one round: what was asked, answered, struck and ended, in order, on disk at once.

Rule 1: an operation is on record before it is asked; its answer after it was read. So an interval
        is never shorter than the operation was.
Rule 2: the file is for who comes after a crash of ours; judged is what we have in memory.
Rule 3: a file that can no longer be written takes nothing from the round: it is said once, and the
        storm goes on without a file.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from untorn_conformance import history
from untorn_conformance.backend import (
    Adopted,
    Collected,
    Damaged,
    Evicted,
    Extracted,
    FrameRead,
    Hit,
    Miss,
    Published,
    Skipped,
    Staged,
    Stats,
    Unpublished,
    Verb,
)
from untorn_conformance.errors import BackendError
from untorn_conformance.history import Audit, Death, Op, OpOutcome, Round, RoundStart, Strike

from untorn_stress.storm.roles import Errand
from untorn_stress.storm.stamps import Provenance

_BUFFER_BYTES: Final = 256 * 1024
_FLUSH_S: Final = 0.25

_OUTCOMES: Final[Mapping[type, OpOutcome]] = {
    Hit: OpOutcome.HIT,
    Miss: OpOutcome.MISS,
    FrameRead: OpOutcome.READ,
    Evicted: OpOutcome.EVICTED,
    Damaged: OpOutcome.DAMAGED,
    Staged: OpOutcome.STAGED,
    Published: OpOutcome.PUBLISHED,
    Adopted: OpOutcome.ADOPTED,
    Unpublished: OpOutcome.UNPUBLISHED,
    Collected: OpOutcome.COLLECTED,
    Skipped: OpOutcome.SKIPPED,
    Stats: OpOutcome.COUNTED,
    type(None): OpOutcome.DONE,
    BackendError: OpOutcome.ERROR,
}


class Recorder:
    """One round's history. ``trouble`` says why its file ends early, empty if it does not."""

    def __init__(
        self, path: Path | None, start: RoundStart, *, names: tuple[str, ...], whose: Provenance
    ) -> None:
        self.path = path
        self.trouble = ""
        self.start: Final = start
        self.ops: list[Op] = []
        self.strikes: list[Strike] = []
        self.deaths: list[Death] = []
        self._audit: Audit | None = None
        self._names = names
        self._whose = whose
        self._file: Any = None
        self._flush_s = 0.0
        if path is not None:
            try:
                self._file = open(path, "w", encoding="ascii", buffering=_BUFFER_BYTES)  # noqa: SIM115
            except OSError as error:
                self._give_up(error)
        self._write(history.begin_line(start))

    def ask(
        self,
        process: str,
        errand: Errand,
        *,
        record: bool = True,
        more: Mapping[str, float] | None = None,
    ) -> Op:
        """Put an operation on record that is about to be asked; unrecorded its number is -1.

        ``more`` are numbers that we add to the arguments of a collect.
        """
        op = Op(
            id=len(self.ops) if record else -1,
            process=process,
            verb=errand.verb.value,
            key=errand.key,
            via=errand.via,
            version=errand.version,
            index=errand.index,
            began_ns=time.monotonic_ns(),
            numbers={**_arguments(errand), **(more or {})},
        )
        if not record:
            return op
        self.ops.append(op)
        self._write(history.invoke_line(op))
        return op

    def answered(
        self,
        op: Op,
        value: object,
        *,
        ended_ns: int | None = None,
        more: Mapping[str, float] | None = None,
    ) -> Op:
        """Put an answer on record; ``more`` are numbers that we add to those of a collect."""
        done = replace(
            op,
            ended_ns=time.monotonic_ns() if ended_ns is None else ended_ns,
            # Of which attempt an extraction's frames are nobody can tell: see footage.
            outcome=OpOutcome.DONE if isinstance(value, Extracted) else outcome_of(value),
            reason=reason_of(value),
            **self._details(op, value, more or {}),
        )
        if op.id < 0:
            return done
        self.ops[op.id] = done
        self._write(history.return_line(done))
        return done

    def _details(self, op: Op, value: object, more: Mapping[str, float]) -> dict[str, Any]:
        if isinstance(value, FrameRead):
            return {"seen": self._whose.whose(value.sha256)}
        if isinstance(value, Hit | Published | Adopted | Unpublished):
            count = len(value.files)
            return {"files": count, "in_order": value.files == self._names[:count]}
        if isinstance(value, Extracted):
            return {"files": len(value.files)}
        if isinstance(value, Collected):
            return {"numbers": {**op.numbers, **_answer(value), **more}}
        if isinstance(value, Stats):
            return {"numbers": dict(value.counters)}
        if isinstance(value, BackendError):
            return {"message": value.message}
        return {}

    def strike(self, strike: Strike) -> None:
        """Put a strike on record that is over, or that this round ends with."""
        self.strikes.append(strike)
        self._write(history.strike_line(strike))

    def death(self, death: Death) -> None:
        """Put a process' end on record."""
        self.deaths.append(death)
        self._write(history.death_line(death))

    def audit(self, audit: Audit) -> None:
        """Close the round."""
        self._audit = audit
        self._write(history.audit_line(audit))
        self.flush()

    def flush_now_and_then(self) -> None:
        """Flush, unless that was just done: a driver that is killed leaves all but the last."""
        if time.monotonic() >= self._flush_s:
            self._flush_s = time.monotonic() + _FLUSH_S
            self.flush()

    def flush(self) -> None:
        """Hand everything to the file system."""
        if self._file is not None:
            try:
                self._file.flush()
            except OSError as error:
                self._give_up(error)

    def round(self) -> Round:
        """The round so far, to be judged."""
        return Round(
            start=self.start,
            ops=tuple(self.ops),
            strikes=tuple(self.strikes),
            deaths=tuple(self.deaths),
            audit=self._audit,
        )

    def lines(self) -> list[str]:
        """The round as lines again: of its events, each operation's two stand together."""
        text = [history.begin_line(self.start)]
        for op in self.ops:
            text.append(history.invoke_line(op))
            if op.is_answered:
                text.append(history.return_line(op))
        text += [history.strike_line(each) for each in self.strikes]
        text += [history.death_line(each) for each in self.deaths]
        if self._audit is not None:
            text.append(history.audit_line(self._audit))
        return text

    def close(self) -> None:
        """Close the file and remove it: what is worth keeping was kept elsewhere."""
        if self._file is not None:
            self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _write(self, line: str) -> None:
        if self._file is None:
            return
        try:
            self._file.write(line)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.trouble = f"the history of round {self.start.number} cannot be written: {error}"
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as again:  # its buffer does not fit either
                self.trouble = f"{self.trouble} ({again.strerror} at its end)"


def outcome_of(value: object) -> OpOutcome:
    """The word of a history for an answer."""
    if isinstance(value, Extracted):
        return OpOutcome(value.outcome.value)
    return _OUTCOMES[type(value)]


def reason_of(value: object) -> str:
    """Why: of a miss, an unpublished (its errno's name, where it has one), a skip, or an error."""
    if isinstance(value, Unpublished):
        return value.errno or value.reason.value
    if isinstance(value, Miss):
        return value.reason.value
    if isinstance(value, Skipped | Extracted):
        return value.reason
    return value.code.value if isinstance(value, BackendError) else ""


def _arguments(errand: Errand) -> dict[str, float]:
    if errand.verb is not Verb.COLLECT:
        return {}
    return {
        name: float(value)
        for name in ("budget_bytes", "min_age_s", "dry_run")
        if isinstance(value := errand.args.get(name), int | float)
    }


def _answer(answer: Collected) -> dict[str, float]:
    return {
        "evicted": answer.evicted,
        "freed_bytes": answer.freed_bytes,
        "reaped": answer.reaped,
        "over_budget_bytes": answer.over_budget_bytes,
        "protected": sum(answer.protected.values()),
    }
