"""Whether a clip's time stamps are what its rate says where a slice is to be cut, and seekable.

`superset` reckons with frame i at i/r, and with a decoder that starts at S as if it had come there
from before. Here the packets around both starts and over the slice are read, undecoded, and the
decoder's own whole-number arithmetic is done on their stamps: seconds become microseconds (a start
rounded down, a duration up), those become ticks of the stream, and the frame at tick p is placed
at output round(p F). All of it must come out as predicted. What is not known to be sound is
refused, and then decoded alone:

    containers whose index does not lead to the key frame at or before a time
    key frames that are not complete: of H.264 only IDR pictures are (an intra refresh is none)
    key frames behind the start whose packets the seek may take for one before it (open groups)
    stamps that are missing, marked, twice there, or more than a tick off the rate
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import av

from untorn import clip
from untorn.clip import ClipInfo
from untorn.command import Range
from untorn.superset import Offset

_CONTAINERS = frozenset({"mov", "mp4", "matroska", "webm"})
_CODECS = frozenset(
    {"h264", "hevc", "vp8", "vp9", "av1", "prores", "dnxhd", "mjpeg", "png", "ffv1", "rawvideo"}
)
_MICROSECONDS = 10**6
_HALF = Fraction(1, 2)
_H264_IDR = 5  # nal_unit_type, ITU-T H.264 table 7-1
_AVCC_LENGTH_AT = 4
_AROUND = 3  # source frames that are read behind what is needed


class _Unsure(Exception):  # noqa: N818 - what a reading found, and no error of anybody
    """Something is not known to be sound."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """The time stamps of a part of a clip in order, in ticks, from a sound key frame on.

    `origin_us` is the container's start. `lengths` are the packets' own durations in ticks, 0 where
    unknown. `ended` says that no frame follows.
    """

    tick_s: Fraction
    origin_us: int
    stamps: tuple[int, ...]
    lengths: tuple[int, ...]
    ended: bool


class _Packet(NamedTuple):
    """A packet in the order of decoding: when it is shown and decoded, and how long, in ticks."""

    stamp: int
    decoded: int
    length: int
    is_key: bool
    is_complete: bool


def holds(path: str, info: ClipInfo, longer: Range, shorter: Range, offset: Offset) -> bool:
    """Whether the frames of `shorter` truly are those of `longer` from `offset` on.

    Reads the clip (a millisecond and the bytes of the range) and raises nothing: a clip that cannot
    be read is none to cut from.
    """
    around_s = _AROUND / info.rate
    ahead_s = longer.start_s + _HALF / longer.fps + around_s
    end_s = None if shorter.duration_s is None else shorter.start_s + shorter.duration_s + around_s
    try:
        with clip.open_container(path) as container:
            start = _read(container, longer.start_s, ahead_s)
            whole = _read(container, shorter.start_s, end_s)
    except (_Unsure, av.FFmpegError, OSError, ValueError):
        return False
    return fits(start, whole, info, longer, shorter, offset)


# --- arithmetic


def fits(
    start: Window, whole: Window, info: ClipInfo, longer: Range, shorter: Range, offset: Offset
) -> bool:
    """The same, of what was read around the longer one's start and over the whole shorter one."""
    first = _kept(start, longer)[:1]
    kept = _kept(whole, shorter)
    if not first or not kept or not _is_regular(whole, kept, info):
        return False
    seen = _Outputs(whole, shorter.start_s, shorter.fps)
    seen_longer = _Outputs(whole, longer.start_s, longer.fps)
    if _Outputs(start, longer.start_s, longer.fps).place(first[0]) or seen.place(kept[0]):
        return False  # it begins with a frame that is shown later
    if any(seen_longer.place(stamp) != seen.place(stamp) + offset.first for stamp in kept):
        return False
    if not seen_longer.is_before(kept[-1], longer.duration_s):
        return False
    behind = [stamp for stamp in whole.stamps if stamp > kept[-1]][:1]
    if not behind and not whole.ended:
        return False
    # What follows must not be shown by the longer before the shorter has ended.
    ends = all(seen_longer.place(stamp) >= offset.first + offset.count for stamp in behind)
    return ends and _counts(whole, kept[-1], seen, info) == {offset.count}


class _Outputs:
    """Where the decoder places the frames of a window when it starts at `start_s`."""

    def __init__(self, window: Window, start_s: Fraction, fps: Fraction) -> None:
        start_us = window.origin_us + math.floor(start_s * _MICROSECONDS)
        self._tick_s, self._fps = window.tick_s, fps
        self._shift = _nearest(Fraction(-start_us, _MICROSECONDS) / window.tick_s)

    def after_start(self, stamp: int) -> int:
        """Ticks from the start on; what is below 0 is not kept."""
        return stamp + self._shift

    def is_before(self, stamp: int, duration_s: Fraction | None) -> bool:
        """Whether the frame is within the duration; ticks as `-t` becomes them."""
        if duration_s is None:
            return True
        duration = Fraction(math.ceil(duration_s * _MICROSECONDS), _MICROSECONDS)
        return self.after_start(stamp) < _nearest(duration / self._tick_s)

    def place(self, stamp: int) -> int:
        """The output at which the frame is shown first."""
        return _nearest(self.after_start(stamp) * self._tick_s * self._fps)


def _kept(window: Window, wanted: Range) -> list[int]:
    """The stamps that are kept; nothing where the decoder's two ways to end a range differ.

    Its reader ends at the duration from the start on, its filter at that from the first frame on.
    """
    outputs = _Outputs(window, wanted.start_s, wanted.fps)
    frames = [stamp for stamp in window.stamps if outputs.after_start(stamp) >= 0]
    if not frames:
        return []
    lead = outputs.after_start(frames[0])
    by_reader = [stamp for stamp in frames if outputs.is_before(stamp, wanted.duration_s)]
    by_filter = [stamp for stamp in frames if outputs.is_before(stamp - lead, wanted.duration_s)]
    return by_reader if by_reader == by_filter else []


def _is_regular(window: Window, kept: list[int], info: ClipInfo) -> bool:
    """Whether all that is kept, and what follows it, is a frame apart, give or take a tick."""
    apart = 1 / info.rate / window.tick_s
    stamps = [*kept, *[stamp for stamp in window.stamps if stamp > kept[-1]][:1]]
    return all(abs(after - before - apart) <= 1 for before, after in itertools.pairwise(stamps))


def _counts(window: Window, last: int, seen: _Outputs, info: ClipInfo) -> set[int]:
    """How many outputs there may be: how long the last frame is shown is known to a tick at best.

    The decoder takes it from the packet, or from the frames before (seen of Matroska).
    """
    length = _nearest(1 / info.rate / window.tick_s)
    own = window.lengths[window.stamps.index(last)]
    return {seen.place(last + each) for each in (length - 1, length, length + 1, own or length)}


def _nearest(value: Fraction) -> int:
    """As av_rescale_q rounds: to the nearest whole number, halves away from zero."""
    away = math.floor(abs(value) + _HALF)
    return away if value >= 0 else -away


# --- reading


def _read(
    container: av.container.InputContainer, start_s: Fraction, end_s: Fraction | None
) -> Window:
    """The packets from the key frame before `start_s` on; _Unsure, or what PyAV raises."""
    stream = _stream(container)
    tick_s, origin_us = stream.time_base, container.start_time or 0
    if tick_s is None:
        raise _Unsure
    start_us = origin_us + math.floor(start_s * _MICROSECONDS)
    container.seek(start_us)
    start = _nearest(Fraction(start_us, _MICROSECONDS) / tick_s)
    end = None if end_s is None else start + (end_s - start_s) / tick_s
    packets, ended = _packets(container, stream, start, end)
    _require_sound(packets, start, from_the_front=not start_s)
    shown = sorted((packet.stamp, packet.length) for packet in packets)
    return Window(
        tick_s=tick_s,
        origin_us=origin_us,
        stamps=tuple(stamp for stamp, _ in shown),
        lengths=tuple(length for _, length in shown),
        ended=ended,
    )


def _stream(container: av.container.InputContainer) -> av.VideoStream:
    """The only video stream of a container and a codec that seeks are exact in."""
    streams = [stream for stream in container.streams.video if not clip.is_cover(stream)]
    sound = (
        len(streams) == 1
        and _CONTAINERS.intersection(container.format.name.split(","))
        and streams[0].codec_context.name in _CODECS
    )
    if not sound:
        raise _Unsure
    return streams[0]


def _packets(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    start: int,
    end: Fraction | None,
) -> tuple[list[_Packet], bool]:
    """The packets up to the tick `end`, and whether the clip ended before it."""
    packets: list[_Packet] = []
    for packet in container.demux(stream):
        if packet.pts is None and not packet.size:
            break  # what a demuxer says at the end
        if packet.pts is None or packet.is_corrupt or (packet.is_discard and packet.pts >= start):
            raise _Unsure
        key = packet.is_keyframe
        packets.append(
            _Packet(
                stamp=packet.pts,
                decoded=packet.pts if packet.dts is None else packet.dts,
                length=packet.duration or 0,
                is_key=key,
                is_complete=key and _is_complete(stream, packet),
            )
        )
        # No packet is shown before it is decoded, so none of what follows is.
        if end is not None and packet.dts is not None and packet.dts > end:
            return packets, False
    return packets, True


def _require_sound(packets: list[_Packet], start: int, *, from_the_front: bool) -> None:
    """_Unsure unless a decoder that seeks to the tick `start` shows all frames from there on."""
    if not packets or not packets[0].is_complete:
        raise _Unsure
    if packets[0].stamp > start and not from_the_front:
        raise _Unsure
    behind = None
    for packet in packets[1:]:
        if behind is not None and packet.stamp < behind:
            raise _Unsure
        if packet.is_key and packet.stamp <= start and not packet.is_complete:
            raise _Unsure
        if packet.is_key and packet.decoded <= start < packet.stamp:
            behind = packet.stamp  # an index of decoding times leads here


def _is_complete(stream: av.VideoStream, packet: av.Packet[av.VideoStream]) -> bool:
    """Whether nothing from before this key frame is needed for what is shown after it."""
    if stream.codec_context.name != "h264":
        return True
    extradata = stream.codec_context.extradata or b""
    if len(extradata) <= _AVCC_LENGTH_AT or extradata[0] != 1:
        return False  # not the form of ISO/IEC 14496-15, whose units tell their lengths
    size, data, at = (extradata[_AVCC_LENGTH_AT] & 3) + 1, bytes(packet), 0
    while at + size < len(data):
        if data[at + size] & 0x1F == _H264_IDR:
            return True
        at += size + int.from_bytes(data[at : at + size], "big")
    return False
