"""The protocol as a JSON Schema, made from the dataclasses and signatures in ``backend``.

``python -m untorn_conformance.protocol_schema > schema/protocol-1.schema.json`` writes it here,
``untorn adapter --schema`` prints it.

Every line is a ``message``. Who knows which verb was asked can validate its answer more closely,
against ``#/$defs/answer-VERB``.

Source: JSON Schema, draft 2020-12.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from enum import StrEnum
from importlib import resources
from typing import Any, Final

from untorn_conformance import wire
from untorn_conformance.backend import PROTOCOL_VERSION, VERB_CAPABILITY, Hello, Verb
from untorn_conformance.errors import ERROR_KINDS
from untorn_conformance.optional_verbs import VERB_PROTOCOL

Schema = dict[str, Any]

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_ID: Final = {"type": "integer", "description": "chosen by the harness; an answer repeats it"}
_SCALARS: Final[Mapping[type, str]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
}


def published() -> str:
    """The text of the schema that this release was published with."""
    name = f"protocol-{PROTOCOL_VERSION}.schema.json"
    return resources.files(__package__).joinpath("schema", name).read_text(encoding="utf-8")


def render() -> str:
    """The text of the schema, made anew."""
    return json.dumps(document(), indent=1, ensure_ascii=True) + "\n"


def document() -> Schema:
    """The schema of every line of version 1."""
    answers = {f"answer-{verb}": _answer(verb) for verb in Verb}
    return {
        "$schema": _DRAFT,
        "$id": f"untorn/protocol/{PROTOCOL_VERSION}",
        "title": f"The protocol between untorn and an adapter, version {PROTOCOL_VERSION}",
        "$ref": "#/$defs/message",
        "$defs": {
            "message": _any_of("request", "answer", "error"),
            "request": _any_of(*(f"request-{verb}" for verb in Verb)),
            "answer": _object({"id": _ID, "ok": _any_of(*(f"ok-{kind}" for kind in wire.KINDS))}),
            "error": _error(),
            **{f"request-{verb}": _request(verb) for verb in Verb},
            **answers,
            **{f"ok-{kind}": _ok(kind, shape) for kind, shape in wire.KINDS.items()},
            **{f"item-{kind}": _ok(kind, shape) for kind, shape in wire.ITEMS.items()},
        },
    }


def _request(verb: Verb) -> Schema:
    args: dict[str, Schema] = {name: _of(hint) for name, hint in wire.arguments_of(verb).items()}
    schema = _object({"id": _ID, "verb": {"const": verb.value}, "args": _object(args)})
    told = inspect.getdoc(getattr(VERB_PROTOCOL[verb], verb)) or ""
    capability = VERB_CAPABILITY.get(verb)
    needs = f" Asked of those who declare {capability}." if capability else ""
    return {"description": told + needs, **schema}


def _answer(verb: Verb) -> Schema:
    kinds = _any_of(*(f"ok-{kind}" for kind in wire.kinds_of(verb)))
    return {"anyOf": [_object({"id": _ID, "ok": kinds}), {"$ref": "#/$defs/error"}]}


def _ok(kind: str, shape: type | None) -> Schema:
    if shape is None:
        return _object({"kind": {"const": kind}})
    schema = _of_dataclass(shape)
    schema["properties"] = {"kind": {"const": kind}, **schema["properties"]}
    schema["required"] = ["kind", *schema["required"]]
    if shape is Hello:
        schema["properties"]["protocol"] = {"const": PROTOCOL_VERSION}
    return schema


def _error() -> Schema:
    codes = [code.value for code, kind in ERROR_KINDS.items() if not kind.harness_only]
    meaning = "; ".join(f"{code}: {ERROR_KINDS[code].doc}" for code in ERROR_KINDS if code in codes)
    fields: dict[str, Schema] = {
        "code": {"enum": codes, "description": meaning},
        "message": {"type": "string"},
        "definite": {"type": "boolean", "description": "whether it certainly had no effect"},
    }
    return _object({"id": _ID, "error": _object(fields, optional=("definite",))})


def _of_dataclass(shape: type) -> Schema:
    hints = typing.get_type_hints(shape)
    fields = dataclasses.fields(shape)
    optional = [
        each.name
        for each in fields
        if each.default is not dataclasses.MISSING
        or each.default_factory is not dataclasses.MISSING
    ]
    schema = _object({each.name: _of(hints[each.name]) for each in fields}, optional=optional)
    return {"description": inspect.getdoc(shape) or "", **schema}


def _of(hint: Any) -> Schema:
    """The schema of a type annotation, as ``wire`` reads it."""
    origin = typing.get_origin(hint) or hint
    if origin in (typing.Union, types.UnionType):
        kinds = [kind for kind, shape in wire.ITEMS.items() if shape in typing.get_args(hint)]
        if kinds:
            return _any_of(*(f"item-{kind}" for kind in kinds))
        return {"anyOf": [_of(each) for each in typing.get_args(hint)]}
    if dataclasses.is_dataclass(origin):
        return _of_dataclass(typing.cast(type, origin))
    if origin in (tuple, frozenset, Sequence):
        return {"type": "array", "items": _of(typing.get_args(hint)[0])}
    if origin is Mapping:
        name, item = typing.get_args(hint)
        schema = {"type": "object", "additionalProperties": _of(item)}
        return schema if name is str else {**schema, "propertyNames": _of(name)}
    if issubclass(origin, StrEnum):
        return {"enum": [member.value for member in origin]}
    return {"type": _SCALARS[origin]}


def _object(properties: Mapping[str, Schema], *, optional: Sequence[str] = ()) -> Schema:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _any_of(*names: str) -> Schema:
    return {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in names]}


if __name__ == "__main__":
    sys.stdout.write(render())
