"""A run as plain JSON, and back: what a counterexample file holds and what ``--json`` prints.

Rule 1: equal runs make equal JSON: of a ``path`` in the arguments, which lies where this machine
        keeps its payloads, only the name is written.
Rule 2: what is read is a run: numbers count, and no part points at a part that is not there.
Rule 3: an answer is written as on the wire, with its kind; null is an answer that never came.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from untorn_conformance import wire
from untorn_conformance.backend import Verb
from untorn_conformance.errors import BackendError, ErrorCode, ProtocolError

from untorn_stress.run import Finding, Operation, Run, Step
from untorn_stress.token import parse_schedule, schedule_text

Json: TypeAlias = Any
"""A value as ``json.loads`` gives it."""

_ERROR: Final = "error"
_KIND_OF: Final[Mapping[type, str]] = {
    type(None) if shape is None else shape: kind for kind, shape in wire.KINDS.items()
}


def to_json(run: Run) -> dict[str, Json]:
    """Turn a run into plain JSON; its choices become a schedule text."""
    return {
        "scenario": run.scenario,
        "tree": run.tree,
        "seed": run.seed,
        "schedule": schedule_text(run.choices),
        "cut": run.cut,
        "unobserved": list(run.unobserved),
        "findings": wire.to_plain(run.findings),
        "operations": [_operation_to_json(operation) for operation in run.operations],
        "steps": wire.to_plain(run.steps),
    }


def of_json(document: Json) -> Run:
    """Inverse of ``to_json``, but for arguments, which stay plain.

    Raises ProtocolError, TokenError (of the schedule) or ValueError (of parts that do not fit).
    """
    fields = fields_of(document, _RUN_FIELDS, closed=True)
    operations = wire.from_plain(tuple[Any, ...], fields["operations"], where="operations")
    run = Run(
        scenario=wire.from_plain(str, fields["scenario"], where="scenario"),
        tree=wire.from_plain(str, fields["tree"], where="tree"),
        seed=wire.from_plain(int, fields["seed"], where="seed"),
        choices=parse_schedule(wire.from_plain(str, fields["schedule"], where="schedule")),
        cut=wire.from_plain(bool, fields["cut"], where="cut"),
        unobserved=wire.from_plain(tuple[str, ...], fields["unobserved"], where="unobserved"),
        findings=wire.from_plain(tuple[Finding, ...], fields["findings"], where="findings"),
        operations=tuple(
            _operation_of_json(operation, where=f"operations[{index}]")
            for index, operation in enumerate(operations)
        ),
        steps=wire.from_plain(tuple[Step, ...], fields["steps"], where="steps"),
    )
    _check_numbers(run)
    return run


def kind_of(answer: object) -> str:
    """Name an answer as the wire does: ``hit``, ``adopted``, ``done``, ``error``."""
    return _ERROR if isinstance(answer, BackendError) else _KIND_OF[type(answer)]


_RUN_FIELDS: Final = (
    *("scenario", "tree", "seed", "schedule", "cut"),
    *("unobserved", "findings", "operations", "steps"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _PlainOperation:
    """An operation as the file has it; ``answer`` is null where none ever came."""

    index: int
    worker: str
    verb: Verb
    args: Mapping[str, Any]
    tag: str
    began: int
    ended: int
    answer: Any


def _operation_to_json(operation: Operation) -> Json:
    plain = _PlainOperation(
        index=operation.index,
        worker=operation.worker,
        verb=operation.verb,
        args=_without_folders(wire.to_plain(operation.args)),
        tag=operation.tag,
        began=operation.began,
        ended=operation.ended,
        answer=_answer_to_json(operation.answer) if operation.ended >= 0 else None,
    )
    return wire.to_plain(plain)


def _without_folders(plain: Json) -> Json:
    if isinstance(plain, list):
        return [_without_folders(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    return {
        name: os.path.basename(item)
        if name == "path" and isinstance(item, str)
        else _without_folders(item)
        for name, item in plain.items()
    }


def _operation_of_json(value: Json, *, where: str) -> Operation:
    plain = wire.from_plain(_PlainOperation, value, where=where)
    return Operation(
        index=plain.index,
        worker=plain.worker,
        verb=plain.verb,
        args=dict(plain.args),
        tag=plain.tag,
        began=plain.began,
        ended=plain.ended,
        answer=None if plain.answer is None else _answer_of_json(plain.answer, f"{where}.answer"),
    )


def _answer_to_json(answer: object) -> Json:
    if isinstance(answer, BackendError):
        return {
            "kind": _ERROR,
            "code": answer.code.value,
            "message": answer.message,
            "definite": answer.definite,
        }
    return {"kind": kind_of(answer), **({} if answer is None else wire.to_plain(answer))}


def _answer_of_json(value: Json, where: str) -> object:
    fields = wire.from_plain(dict[str, Any], value, where=where)
    kind = fields.pop("kind", None)
    if kind == _ERROR:
        error = wire.from_plain(_PlainError, fields, where=where)
        return BackendError(error.code, error.message, error.definite)
    if not isinstance(kind, str) or kind not in wire.KINDS:
        raise ProtocolError(f"{where} is of no known kind: {kind!a}")
    shape = wire.KINDS[kind]
    return None if shape is None else wire.from_plain(shape, fields, where=where)


@dataclass(frozen=True, kw_only=True, slots=True)
class _PlainError:
    """A BackendError as the file has it."""

    code: ErrorCode
    message: str
    definite: bool


def _check_numbers(run: Run) -> None:
    """Refuse a run whose parts point at what is not there. Raises ValueError.

    A run that was not recorded has no steps, yet its operations and findings count them.
    """
    last = len(run.steps) or len(run.choices)
    for number, step in enumerate(run.steps):
        if step.number != number or not -1 <= step.operation < len(run.operations):
            raise ValueError(f"steps[{number}] has a number or an operation that cannot be")
    for index, operation in enumerate(run.operations):
        never = operation.ended == -1
        in_order = 0 <= operation.began <= (last if never else operation.ended) <= last
        if operation.index != index or not in_order:
            raise ValueError(f"operations[{index}] has an index, beginning or end that cannot be")
    for index, finding in enumerate(run.findings):
        if not -1 <= finding.step < last:
            raise ValueError(f"findings[{index}] is beside a step that is not there")


def fields_of(document: Json, required: Sequence[str], *, closed: bool = False) -> dict[str, Json]:
    """Return a copy of an object with the required fields, and if closed with no others.

    Raises ProtocolError.
    """
    if not isinstance(document, dict):
        raise ProtocolError("it is JSON, but no object")
    for name in required:
        if name not in document:
            raise ProtocolError(f"the field {name!r} is missing")
    if closed and len(document) > len(required):
        unknown = next(name for name in document if name not in required)
        raise ProtocolError(f"the field {unknown!a} is unknown")
    return dict(document)
