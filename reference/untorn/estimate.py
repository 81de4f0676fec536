"""What a range of a clip will hold: frames, bytes on disk; and whether the decoder fell short."""

from __future__ import annotations

import math

from untorn.clip import ClipInfo
from untorn.command import Range, length_s
from untorn.errors import ClipError, DecoderError
from untorn.key import FrameFormat
from untorn.space import Need

# Bytes a frame for each byte of its raw samples, from testsrc2 and real clips, rounded up.
_BYTES_PER_RAW = {FrameFormat.PNG: 0.7, FrameFormat.JPG: 0.25}


def expected_frames(info: ClipInfo, wanted: Range) -> int | None:
    """How many frames the range holds, or None if the clip's length is unknown.

    Raises ClipError if the clip cannot give what is wanted: the range starts past its end, or jpg
    would lose its alpha.
    """
    if info.alpha and wanted.format is FrameFormat.JPG:
        raise ClipError("the clip has alpha, which jpg cannot hold: ask for png")
    if info.end_s is not None and wanted.start_s >= info.end_s:
        raise ClipError(
            f"the range starts at {float(wanted.start_s):g} s, "
            f"but the clip ends at {float(info.end_s):g} s"
        )
    if wanted.final_frame:
        return 1
    length = length_s(wanted, info)
    if length is None:
        return None
    frames = round(length * wanted.fps)
    return frames if info.end_s is None else max(1, frames)


def need(info: ClipInfo, wanted: Range, expected: int | None) -> Need:
    """A generous estimate of what the frames will take on disk."""
    frames = expected or 1
    samples = info.width * info.height * 3
    if wanted.format is FrameFormat.PNG:  # which keeps alpha and depth
        depth_bits = info.depth_bits
        if wanted.transform is not None:
            depth_bits = 16 if wanted.transform.to_hdr else 8
        samples = info.width * info.height * (4 if info.alpha else 3) * math.ceil(depth_bits / 8)
    return Need(size=int(frames * samples * _BYTES_PER_RAW[wanted.format]), files=frames + 2)


def require_enough(found: int, info: ClipInfo, wanted: Range, expected: int | None) -> None:
    """DecoderError if the decoder fell short: no frame, or more than a source frame too few.

    One source frame of slack, because where the last frame ends is the container's guess. ClipError
    if there is no frame because the range lies within one that began before it.
    """
    if found == 0:
        length = length_s(wanted, info)
        if length is not None and length < info.slack_s:
            raise ClipError(
                f"no frame of the clip begins in the range: it is {float(length):g} s long, "
                f"and a frame is {float(info.slack_s):g} s"
            )
        raise DecoderError("the decoder wrote no frame for this range")
    slack = max(1, math.ceil(wanted.fps / info.rate))
    if expected is not None and found < expected - slack:
        raise DecoderError(f"the decoder fell short: {found} frames of {expected}")
