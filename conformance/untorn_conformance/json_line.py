"""One line as one JSON object: strictly, and with a guess at what its author meant when it is none.

``refuse`` and ``Quoting`` make the error that says so, for whoever reads on in the object.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn, TypeAlias

from untorn_conformance.errors import ProtocolError

Json: TypeAlias = Any
"""A value as ``json.loads`` gives it."""

_HINT_STDERR: Final = (
    "was this line meant for stderr? stdout carries one JSON object a line and nothing else"
)
_QUOTED_CHARACTERS: Final = 200


def parse(line: bytes | str) -> dict[str, Json]:
    """Parse one line as one JSON object, guessing what its author meant when it is none."""
    with Quoting(line):
        text = _text(line)
        if not text.strip():
            refuse("the line is empty", "one answer is one line, and nothing is between them")
        try:
            message = json.loads(
                text,
                parse_constant=_refuse_constant,
                parse_float=finite,
                object_pairs_hook=_without_duplicates,
            )
        except json.JSONDecodeError as error:
            refuse(f"not JSON: {error.msg}", _hint_for(text, error))
        except (RecursionError, ValueError) as error:  # nested too deep, or a number too long
            refuse(f"JSON beyond any message: {error}")
        if not isinstance(message, dict):
            refuse(f"JSON, but {json_name(message)} and not an object", _HINT_STDERR)
        return message


def _text(line: bytes | str) -> str:
    """Decode strictly: a replaced character would be another file name."""
    try:
        return line.decode("utf-8") if isinstance(line, bytes) else line
    except UnicodeDecodeError:
        hint = "in a name, each byte 0xNN that is not UTF-8 is written as \\udcNN"
        refuse("not UTF-8", hint if line.lstrip()[:1] == b"{" else _HINT_STDERR)


def _hint_for(text: str, error: json.JSONDecodeError) -> str:
    if error.msg == "Extra data" and text.lstrip().startswith("{"):
        return "two messages in one line? end each with a newline"
    if text.strip() == "{":
        return "is this JSON printed over several lines? one message is one line"
    if text.lstrip().startswith("{"):
        return "was the line cut short, or written by two threads at once?"
    return _HINT_STDERR


def _refuse_constant(name: str) -> NoReturn:
    refuse(f"{name} is not a JSON number", "send it as text, or null where null is allowed")


def finite(number: str | int) -> float:
    """Read a number; JSON may write ``1e999`` or hundreds of digits, but no double holds them."""
    try:
        value = float(number)
    except OverflowError:
        value = math.inf
    if math.isinf(value):
        refuse("a number is larger than any double")
    return value


def _without_duplicates(pairs: Sequence[tuple[str, Json]]) -> dict[str, Json]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        refuse(f"the field {twice[0]!r} appears twice in one object")
    return fields


class Quoting:
    """Puts the line, shortened, into a ProtocolError that leaves the block."""

    def __init__(self, line: bytes | str) -> None:
        self._line = line.decode("utf-8", "replace") if isinstance(line, bytes) else line

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ProtocolError) and not error.line:
            error.line = self._line.rstrip("\n")[:_QUOTED_CHARACTERS]


JSON_NAMES: Final[Mapping[type, str]] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    list: "an array",
    dict: "an object",
    type(None): "null",
}
"""What the types of ``json.loads`` are called in messages."""


def json_name(value: Json) -> str:
    """What a value is in JSON, with its article."""
    return JSON_NAMES.get(type(value), type(value).__name__)


def refuse(problem: str, hint: str = "") -> NoReturn:
    """Raise ProtocolError; who reads the line adds its quotation."""
    raise ProtocolError(problem, hint=hint)
