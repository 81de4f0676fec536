"""When the frames of a clip are shown: its first picture, its length, whether its rate varies.

Read from the index of a QuickTime or MP4 file, which states every frame; from all packets where the
stream does not tell its length; else from the first packets alone.

That index counts by decoding: where pictures are decoded out of their order, the lengths of the
last ones are those of others, and even the stated length of the stream may be short of its last
picture, as it may be in FLV. So the last packets are read as well.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av

_FIRST_PACKETS = 250  # walked where the length is known and no index states every frame
_REORDERED = 16  # H.264 and HEVC keep back at most as many frames: so many times may be unsettled
_MICROSECONDS = 10**6


@dataclass(frozen=True, kw_only=True, slots=True)
class Walk:
    """What was seen: the first picture, and times in seconds counted from the clip's beginning.

    `picture` is None where it was not needed, and where PyAV cannot decode it, which is the
    decoder's to judge. `longest_last_s` is the longest of the last frames, where the rate varies.
    """

    picture: av.VideoFrame | None
    start_s: Fraction
    duration_s: Fraction | None
    variable: bool
    longest_last_s: Fraction | None


def is_indexed(container: av.container.InputContainer) -> bool:
    """Whether it is a QuickTime or MP4 file."""
    return "mp4" in container.format.name


def walk(
    container: av.container.InputContainer, stream: av.VideoStream, *, picture_needed: bool
) -> Walk:
    """Read as little of the clip as tells; av.FFmpegError if it cannot be read."""
    base = Fraction(stream.time_base or Fraction(1, _MICROSECONDS))
    ticks = _index_ticks(container, stream)
    most = None if not stream.duration else 1 if ticks else _FIRST_PACKETS
    picture, spans = _packets(container, stream, most, decode=picture_needed)
    starts = sorted(start for start, _ in spans)
    first = min(starts, default=0)
    if not stream.duration:
        settled = ending = starts
        end = max((end for _, end in spans), default=first)
    else:
        first = first if stream.start_time is None else stream.start_time
        end = first + stream.duration
        ending = _last_starts(container, stream, end, ticks)
        settled = (
            ending if ticks else starts if len(starts) < _FIRST_PACKETS else starts[:-_REORDERED]
        )
    variable = _is_variable(ticks) or _is_variable(settled)
    last = max(ending, default=first)
    if ending and last >= end and (variable or not ticks):
        # One frame after it, of the rate by which all times are whole.
        end = last + int(1 / (Fraction(stream.base_rate or 1) * base))
    longest = max([end - last, *_gaps(ending)[-_REORDERED:], *_gaps(ticks)[-_REORDERED:]]) * base
    return Walk(
        picture=picture,
        start_s=_start(container, first, base),
        duration_s=(end - first) * base or None,
        variable=variable,
        longest_last_s=longest if variable else None,
    )


def _index_ticks(container: av.container.InputContainer, stream: av.VideoStream) -> list[int]:
    """Decoding times of all frames, spaced as the pictures are; empty where no index has them."""
    if not is_indexed(container):
        return []
    entries = [entry.timestamp for entry in stream.index_entries]
    return entries if len(entries) == stream.frames else []


def _packets(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    most: int | None,
    *,
    decode: bool,
) -> tuple[av.VideoFrame | None, list[tuple[int, int]]]:
    """The first picture, and (start, end) in ticks of so many packets that are shown, or of all."""
    if decode:
        stream.thread_type = "NONE"  # else several go in before the first picture comes out
    picture: av.VideoFrame | None = None
    spans: list[tuple[int, int]] = []
    for number, packet in enumerate(container.demux(stream), start=1):
        if decode and picture is None and number <= _FIRST_PACKETS:
            picture = _decoded(packet)
        if packet.pts is not None and not packet.is_discard:
            spans.append((packet.pts, packet.pts + (packet.duration or 0)))
        if (
            most is not None
            and number >= most
            and (picture or not decode or number >= _FIRST_PACKETS)
        ):
            break
    return picture, spans


def _last_starts(
    container: av.container.InputContainer, stream: av.VideoStream, end: int, ticks: Sequence[int]
) -> list[int]:
    """When the last pictures are shown: from their packets, whose neighbours are read as well.

    From the index where it says as much, since no picture is decoded out of its order.
    """
    if ticks and not stream.codec_context.has_b_frames:
        return list(ticks)
    starts: list[int] = []
    with contextlib.suppress(av.FFmpegError):  # cut short: for the decoder to tell
        target = ticks[-2 * _REORDERED :][0] if ticks else end
        container.seek(target, stream=stream, any_frame=bool(ticks))
        starts = sorted(start for start, _ in _packets(container, stream, None, decode=False)[1])
    return starts[_REORDERED:] if ticks and len(starts) < len(ticks) else starts


def _decoded(packet: av.Packet[av.VideoStream]) -> av.VideoFrame | None:
    """The packet's first picture, if there is one: damage is the decoder's to tell."""
    try:
        frames = packet.decode()
    except av.FFmpegError:
        return None
    return next((frame for frame in frames if isinstance(frame, av.VideoFrame)), None)


def _gaps(ticks: Sequence[int]) -> list[int]:
    return [later - earlier for earlier, later in itertools.pairwise(ticks)]


def _is_variable(ticks: Sequence[int]) -> bool:
    """Whether frames are spaced by more than the rounding of even times to whole ticks."""
    gaps = _gaps(ticks)
    return bool(gaps) and max(gaps) - min(gaps) > 1


def _start(container: av.container.InputContainer, first: int, base: Fraction) -> Fraction:
    """The first picture's time, from the beginning that ffmpeg counts from: the container's.

    That is stated in whole microseconds, so that less than one is nothing.
    """
    if container.start_time is None:
        return Fraction(0)
    start = first * base - Fraction(container.start_time, _MICROSECONDS)
    return start if start * _MICROSECONDS >= 1 else Fraction(0)
