"""The command line of a decoder that writes one clip range as frames.

ffmpeg-python builds it from a graph; nothing here starts anything (see extraction).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import ffmpeg

from untorn.clip import ClipInfo
from untorn.decoder import Decoder
from untorn.errors import ClipError
from untorn.key import FrameFormat
from untorn.transform import Filter, Transform, filters

DEFAULT_JPG_QUALITY = 95
_PLACE_OF_CLIP = "the clip"
_FRAME_NAME = "frame_%05d"  # ffmpeg widens it past 99,999; frames are ordered by number
_MICROSECONDS = 10**6
_STATS_PERIOD_S = 0.2


# The native decoders of these pass over the alpha that WebM keeps in a second stream of pictures.
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_NOW_S = 0.001  # times are rounded, of the clip and of the range
_LAST_MOMENT_S = Fraction(1, 1000)  # a tick of Matroska, which ffmpeg rounds all times to


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """What is decoded: exact seconds, frames a second, format, jpg quality from 1 to 100.

    With `final_frame` it is one frame: the one that is shown last in the range.
    """

    start_s: Fraction
    duration_s: Fraction | None
    fps: Fraction
    format: FrameFormat
    quality: int | None
    final_frame: bool = False
    transform: Transform | None = None


def length_s(wanted: Range, info: ClipInfo) -> Fraction | None:
    """Seconds of the range that the clip fills; None where neither of them tells."""
    if info.end_s is None:
        return wanted.duration_s
    # Evenly spaced frames are counted from the first that is decoded, all others from the start.
    first_s = wanted.start_s if info.variable_rate else max(wanted.start_s, info.start_s)
    length = info.end_s - first_s
    return length if wanted.duration_s is None else min(length, wanted.duration_s)


def command(decoder: Decoder, clip: str, wanted: Range, info: ClipInfo) -> list[str]:
    """The ffmpeg command line; frames are written to the current directory.

    ClipError if the last frame is asked of a clip that does not tell its length.

    A frame is shown from the tick nearest to its time, counted from the range's start. Where the
    pace varies, what is shown at the start may have begun half a second before, so there decoding
    begins at the key frame before: each frame is within half a tick of what a player shows.
    (Measured: the plain way and ffmpeg's `-fps_mode cfr` begin with the next frame, and are off by
    as much as the longest one.)
    """
    # "V" passes over covers, as the probe does; "v" would take one that comes first for the video.
    stream = ffmpeg.input(_PLACE_OF_CLIP, **_reading(wanted, info))["V"]
    stream, limit = _paced(stream, wanted, info)
    stream = _transformed(stream, wanted.transform, info)
    target = f"{_FRAME_NAME}.{wanted.format.value}"
    options = {**_encoding(wanted), **limit}
    built = ffmpeg.output(stream, target, f="image2", **options).global_args(
        "-hide_banner", "-nostdin", "-loglevel", "error",
        "-progress", "pipe:1", "-stats_period", str(_STATS_PERIOD_S),
    )  # fmt: skip
    arguments = [str(part) for part in built.compile(cmd=decoder.path)]
    # ffmpeg-python hashes its nodes as UTF-8, which the name of a file need not be.
    arguments[arguments.index(_PLACE_OF_CLIP)] = f"file:{clip}"
    return arguments


def _reading(wanted: Range, info: ClipInfo) -> dict[str, str | None]:
    """The options before the clip: its decoder, where it is sought to, how much is read."""
    given: dict[str, str | None] = {}
    if info.alpha and info.codec in _ALPHA_DECODERS:
        given["c:v"] = _ALPHA_DECODERS[info.codec]
    start_s = _last_moment_s(wanted, info) if wanted.final_frame else wanted.start_s
    if start_s:
        given["ss"] = _seconds(start_s, math.floor)
    if _from_key_frame(wanted, info):
        given["noaccurate_seek"] = None
    elif wanted.duration_s is not None:
        given["t"] = _seconds(wanted.duration_s, math.ceil)
    return given


def _from_key_frame(wanted: Range, info: ClipInfo) -> bool:
    """Whether frames before the range are decoded too: the one that is still shown is needed."""
    return wanted.final_frame or info.variable_rate


def _paced(
    stream: ffmpeg.nodes.FilterableStream, wanted: Range, info: ClipInfo
) -> tuple[ffmpeg.nodes.FilterableStream, dict[str, int]]:
    """The frames at their ticks, and the option that ends them."""
    fps = f"{wanted.fps.numerator}/{wanted.fps.denominator}"
    if not _from_key_frame(wanted, info):
        return stream.filter("fps", fps=fps), {}
    start_s = _last_moment_s(wanted, info) if wanted.final_frame else wanted.start_s
    if start_s > info.start_s:
        # Where seeking fell short of a key frame the first frame is a later one, and must not
        # stand in for what was shown: then there is none, which is an error.
        stream = stream.filter("select", f"lte(t,{_NOW_S})+not(isnan(prev_selected_t))")
    # What the container says of the last frame's length may be off by the order of decoding.
    stream = stream.filter(
        "tpad", stop_mode="clone", stop_duration=_seconds(info.slack_s, math.ceil)
    )
    if wanted.final_frame:
        return stream.filter("fps", fps=1, start_time=0, round="up"), {"frames:v": 1}
    length = length_s(wanted, info)
    limit = {} if length is None else {"frames:v": max(1, round(length * wanted.fps))}
    return stream.filter("fps", fps=fps, start_time=0), limit


def _last_moment_s(wanted: Range, info: ClipInfo) -> Fraction:
    """Just before the range ends: what is shown then is its last frame."""
    ends = [] if info.end_s is None else [info.end_s]
    if wanted.duration_s is not None:
        ends.append(wanted.start_s + wanted.duration_s)
    if not ends:
        raise ClipError("the clip does not tell its length: it has no last frame to seek to")
    return max(wanted.start_s, min(ends) - min(_LAST_MOMENT_S, 1 / info.rate / 2))


def _transformed(
    stream: ffmpeg.nodes.FilterableStream, transform: Transform | None, info: ClipInfo
) -> ffmpeg.nodes.FilterableStream:
    if transform is None:
        return stream
    made = filters(transform, info)
    if made.merge is None:
        return _filtered(stream, made.picture)
    ways = stream.split()
    picture, alpha = _filtered(ways[0], made.picture), _filtered(ways[1], made.alpha)
    return ffmpeg.filter([picture, alpha], made.merge.name, **made.merge.options)


def _filtered(
    stream: ffmpeg.nodes.FilterableStream, steps: Sequence[Filter]
) -> ffmpeg.nodes.FilterableStream:
    for step in steps:
        stream = stream.filter(step.name, **step.options)
    return stream


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
