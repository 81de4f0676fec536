"""When the frames of a clip are shown: its first picture, its length, whether its rate varies.

Read from the index of a QuickTime or MP4 file, which states every frame; from all packets where the
stream does not tell its length; else from the first packets alone.
"""

from __future__ import annotations

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

    `picture` is None where PyAV cannot decode it, which is the decoder's to judge. `longest_last_s`
    is the longest of the last frames, where those were seen and the rate varies.
    """

    picture: av.VideoFrame | None
    start_s: Fraction
    duration_s: Fraction | None
    variable: bool
    longest_last_s: Fraction | None


def walk(container: av.container.InputContainer, stream: av.VideoStream) -> Walk:
    """Read as little of the clip as tells; av.FFmpegError if it cannot be read."""
    base = Fraction(stream.time_base or Fraction(1, _MICROSECONDS))
    stated = stream.duration * base if stream.duration else None
    ticks = _index_ticks(container, stream)
    most = None if stated is None else 1 if ticks else _FIRST_PACKETS
    picture, spans = _packets(container, stream, most)
    starts = sorted(start for start, _ in spans)
    if not ticks:
        ticks = starts if most is None or len(starts) < most else starts[:-_REORDERED]
    gaps = [later - earlier for earlier, later in itertools.pairwise(ticks)]
    variable = _is_variable(gaps)
    last = max(gaps[-_REORDERED:], default=0) * base if variable and gaps else None
    return Walk(
        picture=picture,
        start_s=_start(container, stream, starts, base),
        duration_s=stated or _length(spans, base),
        variable=variable,
        longest_last_s=last,
    )


def _index_ticks(container: av.container.InputContainer, stream: av.VideoStream) -> list[int]:
    """Decoding times of all frames, spaced as the pictures are; empty where no index has them."""
    if "mp4" not in container.format.name:
        return []
    entries = [entry.timestamp for entry in stream.index_entries]
    return entries if len(entries) == stream.frames else []


def _packets(
    container: av.container.InputContainer, stream: av.VideoStream, most: int | None
) -> tuple[av.VideoFrame | None, list[tuple[int, int]]]:
    """The first picture, and (start, end) in ticks of so many packets, or of all (None)."""
    stream.thread_type = "NONE"  # else several packets go in before the first picture comes out
    picture: av.VideoFrame | None = None
    spans: list[tuple[int, int]] = []
    for number, packet in enumerate(container.demux(stream), start=1):
        if picture is None and number <= _FIRST_PACKETS:
            picture = _decoded(packet)
        if packet.pts is not None:
            spans.append((packet.pts, packet.pts + (packet.duration or 0)))
        if most is not None and number >= most and (picture or number >= _FIRST_PACKETS):
            break
    return picture, spans


def _decoded(packet: av.Packet[av.VideoStream]) -> av.VideoFrame | None:
    """The packet's first picture, if there is one: damage is the decoder's to tell."""
    try:
        frames = packet.decode()
    except av.FFmpegError:
        return None
    return next((frame for frame in frames if isinstance(frame, av.VideoFrame)), None)


def _is_variable(gaps: Sequence[int]) -> bool:
    """Whether frames are spaced by more than the rounding of even times to whole ticks."""
    return bool(gaps) and max(gaps) - min(gaps) > 1


def _length(spans: Sequence[tuple[int, int]], base: Fraction) -> Fraction | None:
    """From the first packet's start to the last one's end; None if that is nothing."""
    if not spans:
        return None
    ticks = max(end for _, end in spans) - min(start for start, _ in spans)
    return ticks * base if ticks > 0 else None


def _start(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    starts: Sequence[int],
    base: Fraction,
) -> Fraction:
    """The first picture's time, from the beginning that ffmpeg counts from: the container's."""
    first = stream.start_time if stream.start_time is not None else min(starts, default=None)
    if first is None or container.start_time is None:
        return Fraction(0)
    return max(Fraction(0), first * base - Fraction(container.start_time, _MICROSECONDS))
