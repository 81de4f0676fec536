"""The command line of a decoder that writes one clip range as frames.

ffmpeg-python builds it from a graph; nothing here starts anything (see extraction).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import ffmpeg

from untorn.decoder import Decoder
from untorn.key import FrameFormat

DEFAULT_JPG_QUALITY = 95
_PLACE_OF_CLIP = "the clip"
_FRAME_NAME = "frame_%05d"  # ffmpeg widens it past 99,999; frames are ordered by number
_MICROSECONDS = 10**6
_STATS_PERIOD_S = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """What is decoded: exact seconds, frames a second, format, jpg quality from 1 to 100."""

    start_s: Fraction
    duration_s: Fraction | None
    fps: Fraction
    format: FrameFormat
    quality: int | None


def command(decoder: Decoder, clip: str, wanted: Range) -> list[str]:
    """The ffmpeg command line; frames are written to the current directory."""
    given: dict[str, str] = {}
    if wanted.start_s:
        given["ss"] = _seconds(wanted.start_s, math.floor)
    if wanted.duration_s is not None:
        given["t"] = _seconds(wanted.duration_s, math.ceil)
    stream = ffmpeg.input(_PLACE_OF_CLIP, **given).video
    stream = stream.filter("fps", fps=f"{wanted.fps.numerator}/{wanted.fps.denominator}")
    target = f"{_FRAME_NAME}.{wanted.format.value}"
    built = ffmpeg.output(stream, target, f="image2", **_encoding(wanted)).global_args(
        "-hide_banner", "-nostdin", "-loglevel", "error",
        "-progress", "pipe:1", "-stats_period", str(_STATS_PERIOD_S),
    )  # fmt: skip
    arguments = [str(part) for part in built.compile(cmd=decoder.path)]
    # ffmpeg-python hashes its nodes as UTF-8, which the name of a file need not be.
    arguments[arguments.index(_PLACE_OF_CLIP)] = f"file:{clip}"
    return arguments


def _encoding(wanted: Range) -> dict[str, str | int]:
    if wanted.format is FrameFormat.PNG:
        return {"compression_level": 1}  # a sixth larger than the default, at a third of the time
    quality = wanted.quality if wanted.quality is not None else DEFAULT_JPG_QUALITY
    # A fixed quantiser: without one the bytes depend on the number of threads.
    return {"q:v": min(31, max(2, math.ceil((100 - quality) / 3)))}


def _seconds(value: Fraction, to_integer: Callable[[Fraction], int]) -> str:
    """Microseconds are all ffmpeg reads; rounded so that no frame of the range falls out."""
    microseconds = to_integer(value * _MICROSECONDS)
    return f"{microseconds // _MICROSECONDS}.{microseconds % _MICROSECONDS:06d}"
