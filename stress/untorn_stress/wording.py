"""Operations, answers and names in the few words that fit into a column."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from untorn_conformance.errors import BackendError

from untorn_stress.run import Operation
from untorn_stress.run_json import kind_of

_BARE: Final = frozenset({"key", "handle", "reason", "detail", "errno"})
"""Arguments and fields that speak for themselves, without their name."""

_HEX: Final = re.compile(r"[0-9a-f]{16,}")
_HEX_SHOWN: Final = 6
ELLIPSIS: Final = "…"


def asked(operation: Operation) -> str:
    """Say what was asked: ``stage k1 2 files (first)``."""
    words = [operation.verb.value, *_words(operation.args.items())]
    return " ".join([*words, f"({operation.tag})"] if operation.tag else words)


def named(operation: Operation) -> str:
    """Name an operation again, once it was said what was asked: ``stage k1``."""
    subject = {name: operation.args[name] for name in ("key", "handle") if name in operation.args}
    return " ".join([operation.verb.value, *_words(subject.items())])


def answered(operation: Operation) -> str:
    """Say what was answered: ``adopted 2 files``; a handle that was asked with is not repeated."""
    if operation.ended < 0:
        return "no answer"
    answer = operation.answer
    if isinstance(answer, BackendError):
        return f"error {answer.code}: {answer.message}"
    fields = dataclasses.fields(answer) if dataclasses.is_dataclass(answer) else ()
    values = [(field.name, getattr(answer, field.name)) for field in fields]
    said = [(name, value) for name, value in values if value != operation.args.get(name, _NEVER)]
    return " ".join([kind_of(answer), *_words(said)])


def printable(text: str) -> str:
    """Write what a terminal would obey or choke on as escapes; the rest stays."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortening(texts: Iterable[str]) -> Callable[[str], str]:
    """Return a function that shortens long hexadecimal names, so that different ones stay so."""
    names = {name for text in texts for name in _HEX.findall(text)}
    shown = _HEX_SHOWN
    while len({name[:shown] for name in names}) < len(names):
        shown += 1
    return lambda text: _HEX.sub(lambda found: found[0][:shown] + ELLIPSIS, text)


_NEVER: Final = object()


def _words(named: Iterable[tuple[str, object]]) -> Iterator[str]:
    """Say values that say something: none that are None, empty, False or zero."""
    for name, value in named:
        if name == "files" and isinstance(value, Iterable):
            count = len(list(value))
            yield f"{count} file{'' if count == 1 else 's'}"
        elif value is True:
            yield name
        elif value is None or value is False or value in ("", 0, (), {}):
            continue
        elif isinstance(value, Mapping):
            yield f"{name}={','.join(f'{key}:{item}' for key, item in value.items())}"
        else:
            yield str(value) if name in _BARE else f"{name}={value}"
