"""What a range of a clip will hold: frames, bytes on disk; and whether the decoder fell short."""

from __future__ import annotations

import math

from untorn.clip import ClipInfo
from untorn.command import Range
from untorn.errors import ClipError, DecoderError
from untorn.key import FrameFormat
from untorn.space import Need

# Bytes a frame for each byte of its raw RGB, from testsrc2 and real clips, rounded up.
_BYTES_PER_RAW = {FrameFormat.PNG: 0.7, FrameFormat.JPG: 0.25}


def expected_frames(info: ClipInfo, wanted: Range) -> int | None:
    """How many frames the range holds, or None if the clip's length is unknown.

    Raises ClipError if the range starts past the clip's end.
    """
    if info.duration_s is None:
        return None if wanted.duration_s is None else round(wanted.duration_s * wanted.fps)
    if wanted.start_s >= info.duration_s:
        raise ClipError(
            f"the range starts at {float(wanted.start_s):g} s, "
            f"but the clip ends at {float(info.duration_s):g} s"
        )
    length = info.duration_s - wanted.start_s
    if wanted.duration_s is not None:
        length = min(length, wanted.duration_s)
    return max(1, round(length * wanted.fps))


def need(info: ClipInfo, wanted: Range, expected: int | None) -> Need:
    """A generous estimate of what the frames will take on disk."""
    frames = expected or 1
    wide = 2 if "p10" in info.pixel_format or "p12" in info.pixel_format else 1
    raw = info.width * info.height * 3 * wide
    return Need(size=int(frames * raw * _BYTES_PER_RAW[wanted.format]), files=frames + 2)


def require_enough(found: int, info: ClipInfo, wanted: Range, expected: int | None) -> None:
    """DecoderError if the decoder fell short: no frame, or more than a source frame too few.

    One source frame of slack, because where the last frame ends is the container's guess.
    """
    if found == 0:
        raise DecoderError("the decoder wrote no frame for this range")
    slack = max(1, math.ceil(wanted.fps / info.rate))
    if expected is not None and found < expected - slack:
        raise DecoderError(f"the decoder fell short: {found} frames of {expected}")
