"""The protocol between harness and worker: one JSON object a line, in both directions.

    request   {"id": 7, "verb": "lookup", "args": {"key": "ab12"}}
    answer    {"id": 7, "ok": {"kind": "hit", "handle": "h1", "files": ["frame_00001.png"]}}
    error     {"id": 7, "error": {"code": "invalid-key", "message": "...", "definite": true}}

Rule 1: a request carries every argument of its verb, also those that are null.
Rule 2: an answer may leave out the fields that have a default; it may add none.
Rule 3: a verb that answers nothing answers ``{"kind": "done"}``.
Rule 4: lines are ASCII. A name or path that is not UTF-8 travels as lone surrogates, as
        ``os.fsdecode`` makes them, so that every file name survives both directions.
Rule 5: numbers are JSON numbers; NaN and infinity are not, and are refused.
Rule 6: where one of several dataclasses may stand, as in the items of ``rendered``, it says its
        ``kind``, as answers do.

Everything here is pure: values into lines, lines into values. The shapes are the dataclasses and
signatures in ``backend``; a line that does not fit raises ``ProtocolError`` with a hint.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import json
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeVar, cast

from untorn_conformance import backend
from untorn_conformance.backend import Verb
from untorn_conformance.errors import ERROR_KINDS, BackendError, ErrorCode, ProtocolError
from untorn_conformance.json_line import (
    JSON_NAMES,
    Json,
    Quoting,
    finite,
    json_name,
    parse,
    refuse,
)
from untorn_conformance.optional_verbs import VERB_PROTOCOL

T = TypeVar("T")
KINDS: Final[Mapping[str, type | None]] = types.MappingProxyType(
    {
        "done": None,
        "hello": backend.Hello,
        "hit": backend.Hit,
        "miss": backend.Miss,
        "frame": backend.FrameRead,
        "evicted": backend.Evicted,
        "damaged": backend.Damaged,
        "staged": backend.Staged,
        "published": backend.Published,
        "adopted": backend.Adopted,
        "unpublished": backend.Unpublished,
        "collected": backend.Collected,
        "skipped": backend.Skipped,
        "stats": backend.Stats,
        "key": backend.Key,
        "extracted": backend.Extracted,
        "rendered": backend.Rendered,
        "logged": backend.Logged,
        "planted": backend.Planted,
        "forked": backend.Forked,
    }
)
"""The word that an answer's ``kind`` uses for each dataclass of ``backend``."""

ITEMS: Final[Mapping[str, type]] = types.MappingProxyType(
    {"extracted": backend.Extracted, "failed": backend.Failed}
)
"""The same for the items of a list within an answer (Rule 6)."""

_KIND_OF: Final = {answer: kind for kind, answer in KINDS.items()}
_KIND_OF_ITEM: Final = {item: kind for kind, item in ITEMS.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A decoded request: call the verb's method with ``args`` as keyword arguments."""

    id: int
    verb: Verb
    args: Mapping[str, object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A decoded answer: ``value`` is a dataclass of ``backend``, None, or the error."""

    id: int
    value: object


@functools.cache
def arguments_of(verb: Verb) -> Mapping[str, object]:
    """Name a verb's arguments, with their type annotations."""
    hints = typing.get_type_hints(getattr(VERB_PROTOCOL[verb], verb))
    return {name: hint for name, hint in hints.items() if name != "return"}


@functools.cache
def kinds_of(verb: Verb) -> tuple[str, ...]:
    """Name the kinds that a verb may answer."""
    hint = typing.get_type_hints(getattr(VERB_PROTOCOL[verb], verb))["return"]
    return tuple(_KIND_OF[None if option is type(None) else option] for option in _options(hint))


# --- lines -----------------------------------------------------------------------------------


def encode_request(request_id: int, verb: Verb, args: Mapping[str, object]) -> bytes:
    """Make the line of a request; raises TypeError when the arguments are not the verb's."""
    bound = _signature_of(verb).bind(None, **args)
    return _line({"id": request_id, "verb": verb.value, "args": to_plain(dict(bound.kwargs))})


@functools.cache
def _signature_of(verb: Verb) -> inspect.Signature:
    return inspect.signature(getattr(VERB_PROTOCOL[verb], verb))


@functools.cache
def _hints_of(shape: type) -> dict[str, Any]:
    return typing.get_type_hints(shape)


def warm() -> None:
    """Read every signature now, so that processes that are forked from here need not."""
    for verb in Verb:
        arguments_of(verb)
        kinds_of(verb)
        _signature_of(verb)
    for shape in (*KINDS.values(), *ITEMS.values()):
        if shape is not None:
            _hints_of(shape)


def decode_request(line: bytes | str) -> Request:
    """Read the line of a request."""
    message = parse(line)
    with Quoting(line):
        _check_fields(message, required=("id", "verb", "args"), where="the request")
        verb = from_plain(Verb, message["verb"], where="verb")
        hints = arguments_of(verb)
        args = from_plain(dict[str, Any], message["args"], where="args")
        _check_fields(args, required=tuple(hints), where=f"the arguments of {verb}")
        values = {name: _decode(hint, args[name], f"{verb}.{name}") for name, hint in hints.items()}
        return Request(id=_id(message), verb=verb, args=values)


def encode_answer(request_id: int, value: object) -> bytes:
    """Make the line of an answer: a dataclass of ``backend``, or None where there is none."""
    kind = _KIND_OF[None if value is None else type(value)]
    fields = {} if value is None else to_plain(value)
    return _line({"id": request_id, "ok": {"kind": kind, **fields}})


def encode_error(request_id: int, error: BackendError) -> bytes:
    """Make the line of an error."""
    body = {"code": error.code.value, "message": error.message, "definite": error.definite}
    return _line({"id": request_id, "error": body})


def decode_answer(line: bytes | str, *, verb: Verb | None = None) -> Answer:
    """Read the line of an answer or error; with ``verb``, refuse an answer of another verb."""
    message = parse(line)
    with Quoting(line):
        outcome = "error" if "error" in message else "ok"
        _check_fields(message, required=("id", outcome), where="the answer")
        body = from_plain(dict[str, Any], message[outcome], where=outcome)
        value = _decode_error(body) if outcome == "error" else _decode_ok(body, verb)
        return Answer(id=_id(message), value=value)


def _decode_ok(body: Mapping[str, Json], verb: Verb | None) -> object:
    allowed = tuple(KINDS) if verb is None else kinds_of(verb)
    kind = body.get("kind")
    if not isinstance(kind, str) or kind not in allowed:
        asker = "any verb" if verb is None else f"{verb}"
        refuse(f"{kind!r} is not an answer of {asker}", f"allowed: {', '.join(allowed)}")
    fields = {name: value for name, value in body.items() if name != "kind"}
    answer = KINDS[kind]
    if answer is None:
        _check_fields(fields, required=(), where=f"the answer {kind}")
        return None
    if answer is backend.Hello:
        _check_version(fields)
    return from_plain(answer, fields, where=kind)


def _check_version(hello: Mapping[str, Json]) -> None:
    """Look at the version before the rest, which may have another shape in another version."""
    said = hello.get("protocol", backend.PROTOCOL_VERSION)
    if said != backend.PROTOCOL_VERSION:
        ours = f"this harness speaks {backend.PROTOCOL_VERSION}"
        refuse(f"it speaks protocol {said!r}, {ours}", "update the older of the two")


def _decode_error(body: Mapping[str, Json]) -> BackendError:
    _check_fields(body, required=("code", "message"), optional=("definite",), where="the error")
    code = from_plain(ErrorCode, body["code"], where="error.code")
    if ERROR_KINDS[code].harness_only:
        refuse(f"only the harness says {code}", "a backend that met a surprise says internal")
    message = from_plain(str, body["message"], where="error.message")
    if "definite" not in body:
        return BackendError(code, message)
    return BackendError(code, message, from_plain(bool, body["definite"], where="error.definite"))


def _line(message: Mapping[str, object]) -> bytes:
    text = json.dumps(message, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.encode("ascii") + b"\n"


def _id(message: Mapping[str, Json]) -> int:
    return from_plain(int, message["id"], where="id")


# --- values ----------------------------------------------------------------------------------


def to_plain(value: object) -> Any:
    """Turn dataclasses, enums, tuples, mappings and sets into what ``json.dumps`` takes.

    Sets are sorted, so that equal values give equal lines.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: to_plain(getattr(value, name)) for name in names}
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Mapping):
        return {to_plain(name): to_plain(item) for name, item in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(to_plain(item) for item in value)
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_item_to_plain(item) for item in value]
    return value


def _item_to_plain(item: object) -> Any:
    kind = _KIND_OF_ITEM.get(type(item))
    return to_plain(item) if kind is None else {"kind": kind, **to_plain(item)}


def from_plain(hint: type[T], value: Json, *, where: str = "value") -> T:
    """Turn a JSON value into what the type annotation says, and nothing else.

    ``where`` names the place in messages. Raises ProtocolError for a value that does not fit, for a
    missing field and for an unknown one.
    """
    return cast(T, _decode(hint, value, where))


def _decode(hint: Any, value: Json, where: str) -> object:
    if hint is Any:
        return value
    if _is_union(hint):
        return _decode_union(_options(hint), value, where)
    origin = typing.get_origin(hint) or hint
    if dataclasses.is_dataclass(origin):
        return _decode_dataclass(cast(type, origin), value, where)
    if origin in (tuple, frozenset, Sequence):
        item = typing.get_args(hint)[0]
        items = [_decode(item, each, f"{where}[{n}]") for n, each in enumerate(_list(value, where))]
        return frozenset(items) if origin is frozenset else tuple(items)
    if origin in (Mapping, dict):
        return _decode_mapping(hint, value, where)
    return _decode_scalar(origin, value, where)


def _decode_union(options: Sequence[Any], value: Json, where: str) -> object:
    """Take the first member that accepts the value, be it a scalar or null; an item says which."""
    if all(map(dataclasses.is_dataclass, options)):
        fields = dict(_mapping(value, where))
        kinds = {_KIND_OF_ITEM[option]: option for option in options}
        kind = fields.pop("kind", None)
        if not isinstance(kind, str) or kind not in kinds:
            refuse(f"{where}.kind must not be {kind!r}", f"allowed: {', '.join(kinds)}")
        return _decode_dataclass(kinds[kind], fields, where)
    for option in options:
        try:
            return _decode(option, value, where)
        except ProtocolError:
            continue  # the next member may accept it; when none does, the refusal below names all
    names = " or ".join("null" if option is type(None) else option.__name__ for option in options)
    raise ProtocolError(f"{where} must be {names}, not {json_name(value)}")


def _decode_dataclass(shape: type, value: Json, where: str) -> object:
    fields = _mapping(value, where)
    declared = dataclasses.fields(shape)
    required = [
        field.name
        for field in declared
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    optional = [field.name for field in declared if field.name not in required]
    _check_fields(fields, required=required, optional=optional, where=where)
    hints = _hints_of(shape)
    return shape(
        **{name: _decode(hints[name], item, f"{where}.{name}") for name, item in fields.items()}
    )


def _decode_mapping(hint: Any, value: Json, where: str) -> dict[object, object]:
    name_hint, item_hint = typing.get_args(hint)
    return {
        _decode(name_hint, name, f"a name in {where}"): _decode(item_hint, item, f"{where}.{name}")
        for name, item in _mapping(value, where).items()
    }


def _decode_scalar(kind: type, value: Json, where: str) -> object:
    if issubclass(kind, StrEnum):
        return _decode_enum(kind, value, where)
    if kind is float and type(value) is int:
        return finite(value)
    if type(value) is not kind:  # not isinstance: True is no number here
        expected = JSON_NAMES.get(kind, kind.__name__)
        refuse(f"{where} must be {expected}, not {json_name(value)}")
    return value


def _decode_enum(kind: type[StrEnum], value: Json, where: str) -> StrEnum:
    words = [member.value for member in kind]
    if value not in words:
        near = difflib.get_close_matches(str(value), words, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(words)}"
        refuse(f"{where} must not be {value!r}", hint)
    return kind(value)


def _check_fields(
    fields: Mapping[str, Json], *, required: Sequence[str], where: str, optional: Sequence[str] = ()
) -> None:
    for name in required:
        if name not in fields:
            refuse(f"{where} has no field {name!r}")
    known = (*required, *optional)
    for name in fields:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
            refuse(f"{where} has an unknown field {name!r}", hint)


def _list(value: Json, where: str) -> list[Json]:
    if not isinstance(value, list):
        refuse(f"{where} must be an array, not {json_name(value)}")
    return value


def _mapping(value: Json, where: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        refuse(f"{where} must be an object, not {json_name(value)}")
    return value


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _options(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if _is_union(hint) else (hint,)
