"""A composition: the TOML file that says which clip ranges a render needs.

    fps = "30000/1001"         # defaults of every clip: fps, format, quality, identity
    format = "jpg"
    quality = 90               # of the clips that are jpg
    tone_map = true            # of the render: HDR clips become SDR

    [[clip]]
    path = "a.mp4"             # from the file's own directory
    start = 0.5                # seconds; a number, or text such as "1001/30000"
    duration = 2               # to the end if left out
    final_frame = true         # one frame, the last of the range
    transform = "hdr2sdr"      # a conversion of this clip alone; see untorn.transform

Everything that can be known without looking at a clip is checked here, before anything is decoded;
what is wrong is one line with the file, and the line and table where that can be told. One range
twice, and ranges that overlap, are no mistake: a render makes them once. Source of the format:
https://toml.io/en/v1.0.0.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from untorn.clip import printable
from untorn.errors import CompositionError, KeyInputError
from untorn.key import FrameFormat, exact
from untorn.request import Identity, Request, range_of

MAX_BYTES = 16 * 1024 * 1024  # about 200,000 clips: more is not a composition

_NUMBER = 'a number, or text such as "30000/1001"'
_TEXT = "text"
_WHOLE = "a whole number"
_FLAG = "true or false"
_DEFAULTS: Mapping[str, str] = {
    "fps": _NUMBER,
    "format": _TEXT,
    "quality": _WHOLE,
    "identity": _TEXT,
}
_TOP: Mapping[str, str] = {**_DEFAULTS, "tone_map": _FLAG}
_CLIP: Mapping[str, str] = {
    **_DEFAULTS,
    "path": _TEXT,
    "start": _NUMBER,
    "duration": _NUMBER,
    "final_frame": _FLAG,
    "transform": _TEXT,
}
_TYPES: Mapping[str, tuple[type, ...]] = {
    _NUMBER: (int, float, str),
    _TEXT: (str,),
    _WHOLE: (int,),
    _FLAG: (bool,),
}
_HEADER = re.compile(r"[ \t]*\[\[[ \t]*(?:clip|\"clip\"|'clip')[ \t]*\]\]")
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)\Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class Composition:
    """What a file asks for: one request a `[[clip]]`, in the file's order.

    `names` are how messages call each clip: its number from 1, and its line where that is known.
    """

    requests: tuple[Request, ...]
    names: tuple[str, ...]
    tone_map: bool = False


def read(path: str | os.PathLike[str]) -> Composition:
    """The composition in the file at `path`; CompositionError says what is wrong with it."""
    file = os.fsdecode(os.fspath(path))
    shown = printable(file)
    try:
        with open(file, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CompositionError(f"{shown}: {reason}") from None
    if len(data) > MAX_BYTES:
        raise CompositionError(f"{shown} is larger than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CompositionError(f"{shown}, line {line}: not UTF-8") from None
    return parse(text, directory=os.path.dirname(os.path.abspath(file)), file=shown)


def parse(text: str, *, directory: str, file: str = "composition") -> Composition:
    """The composition that `text` is; paths start at `directory`, messages with `file`.

    Raises CompositionError. Looks at no clip: pure.
    """
    document = _document(text, file)
    tables = document.pop("clip", None)
    if isinstance(tables, dict):
        raise CompositionError(f"{file}: clip is a table; write [[clip]], once for each clip")
    _check_keys(document, _TOP, file, ("clip",))
    if tables is not None and not _is_list_of_tables(tables):
        raise CompositionError(f"{file}: clip must be tables: write [[clip]], once for each clip")
    if not tables:
        raise CompositionError(f"{file}: no clip at all: write at least one [[clip]]")
    names = _names(text, len(tables))
    requests = []
    for name, table in zip(names, tables, strict=True):
        place = f"{file}, {name}"
        _check_keys(table, _CLIP, place, ())
        requests.append(_request(table, document, directory, place))
    return Composition(
        requests=tuple(requests), names=names, tone_map=document.get("tone_map", False)
    )


def _document(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = _PLACE.search(message)
        said = printable(message if place is None else message[: place.start()])
        line = text.rstrip().count("\n") + 1  # of the end, where most of the text is to blame
        if place is not None and place.group(1) is not None:
            line, said = int(place.group(1)), f"{said} (column {place.group(2)})"
        raise CompositionError(f"{file}, line {line}: not TOML: {said}") from None
    except ValueError as error:  # a whole number of more digits than Python converts
        raise CompositionError(f"{file}: {printable(str(error))}") from None
    except RecursionError:
        raise CompositionError(f"{file}: nested too deeply") from None


def _is_list_of_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _names(text: str, count: int) -> tuple[str, ...]:
    """How each clip is called. Its line is told only where the headers found are all the clips.

    tomllib tells no lines; a header's text may also stand in a string of several lines, and clips
    in one line as an array.
    """
    lines = [number for number, line in enumerate(text.split("\n"), 1) if _HEADER.match(line)]
    if len(lines) != count:
        return tuple(f"clip {number}" for number in range(1, count + 1))
    return tuple(f"clip {number} (line {line})" for number, line in enumerate(lines, 1))


def _check_keys(
    table: Mapping[str, Any], known: Mapping[str, str], place: str, besides: Sequence[str]
) -> None:
    for key, value in table.items():
        if key not in known:
            raise CompositionError(f"{place}: {_unknown(key, [*known, *besides])}")
        if not _is(value, known[key]):
            raise CompositionError(f"{place}: {key} must be {known[key]}, not {_shown(value)}")


def _unknown(key: str, known: Sequence[str]) -> str:
    if key in _CLIP:
        return f"{key} is of one clip: write it below a [[clip]]"
    if key in _TOP:
        return f"{key} is of the whole render: write it above the first [[clip]]"
    near = difflib.get_close_matches(key.lower(), known, n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(known))}"
    return f"unknown key {printable(key)}{hint}"


def _is(value: object, meaning: str) -> bool:
    if isinstance(value, bool):
        return meaning is _FLAG
    return isinstance(value, _TYPES[meaning])


def _shown(value: object) -> str:
    """A value of the file in a message, in one line and not without end."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:60]}..."  # noqa: PLR2004 - as much as fits a line


def _request(
    table: Mapping[str, Any], defaults: Mapping[str, Any], directory: str, place: str
) -> Request:
    def value(key: str, otherwise: Any = None) -> Any:
        return table.get(key, defaults.get(key, otherwise))

    path, fps = table.get("path"), value("fps")
    if not path:
        raise CompositionError(f"{place}: {'no' if path is None else 'an empty'} path")
    if "\0" in path:
        raise CompositionError(f"{place}: no path holds a zero byte: {_shown(path)}")
    if fps is None:
        raise CompositionError(f"{place}: no fps, and none above the first [[clip]]")
    try:
        frame_format = _word(FrameFormat, "format", value("format", FrameFormat.PNG))
        request = Request(
            clip=os.path.join(directory, path),
            fps=exact(fps, "fps"),
            format=frame_format,
            start=exact(table.get("start", 0), "start"),
            duration=exact(table["duration"], "duration") if "duration" in table else None,
            # A default quality is for the clips that can have one, a clip's own must be for it.
            quality=value("quality") if frame_format is FrameFormat.JPG else table.get("quality"),
            identity=_word(Identity, "identity", value("identity", Identity.STAT)),
            final_frame=table.get("final_frame", False),
            transform=table.get("transform"),
        )
        range_of(request)
    except KeyInputError as error:
        raise CompositionError(f"{place}: {printable(str(error))}") from None
    return request


_Word = TypeVar("_Word", bound=StrEnum)


def _word(words: type[_Word], name: str, value: str) -> _Word:
    try:
        return words(value.lower())
    except ValueError:
        raise KeyInputError(
            f"{name} must be one of {', '.join(words)}, not {_shown(value)}"
        ) from None
