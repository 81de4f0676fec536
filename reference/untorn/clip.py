"""A clip as it lies on disk: its identity, and what PyAV says is in it."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

import av

from untorn.errors import ClipError, SourceChangedError
from untorn.key import SourceIdentity


@dataclass(frozen=True, slots=True)
class SourceState:
    """The identity of a file's bytes while it is used; compared before and after (contract K3)."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class Transfer(StrEnum):
    """How code values mean light, as ffmpeg names it: PQ and HLG are HDR, all else is SDR."""

    SDR = "sdr"
    PQ = "smpte2084"
    HLG = "arib-std-b67"


# The numbers of ITU-T H.273, which every container and decoder shares.
_HDR_TRANSFERS = {16: Transfer.PQ, 18: Transfer.HLG}


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipInfo:
    """The first video stream: size in pixels, average rate in frames a second, length in seconds.

    `duration_s` is None where neither the container nor its packets tell.
    """

    width: int
    height: int
    rate: Fraction
    duration_s: Fraction | None
    pixel_format: str
    transfer: Transfer


def source_state(path: str) -> SourceState:
    """The state of a clip that can be read; ClipError says why one cannot."""
    shown = printable(path)
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ClipError(f"{shown}: {reason}") from None
    if stat.S_ISDIR(status.st_mode):
        raise ClipError(f"{shown} is a directory, not a clip")
    if not stat.S_ISREG(status.st_mode):
        raise ClipError(f"{shown} is not a regular file")
    if not os.access(path, os.R_OK):
        raise ClipError(f"{shown}: Permission denied")
    if status.st_size == 0:
        raise ClipError(f"{shown} is empty")
    return SourceState(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


def require_unchanged(path: str, before: SourceState) -> None:
    """SourceChangedError if the clip is not what it was."""
    try:
        after = source_state(path)
    except ClipError as error:
        raise SourceChangedError(f"the clip changed while it was decoded: {error}") from None
    if after != before:
        raise SourceChangedError(f"{printable(path)} changed while it was decoded")


def identify(path: str, state: SourceState, *, by_content: bool) -> SourceIdentity:
    """The clip's part of a key; by content it is read once in full (raises ClipError)."""
    content = None
    if by_content:
        try:
            with open(path, "rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ClipError(f"{printable(path)}: {error.strerror}") from None
    return SourceIdentity(
        path=path, mtime_ns=state.mtime_ns, size=state.size, content_sha256=content
    )


def probe(path: str) -> ClipInfo:
    """What is in the clip; ClipError if it is no video."""
    shown = printable(path)
    try:
        with _open(path) as container:
            streams = [s for s in container.streams.video if not _is_cover(s)]
            if not streams:
                raise ClipError(f"{shown} has no video stream")
            stream = streams[0]
            rate = stream.average_rate or stream.guessed_rate
            if not rate or not stream.width or not stream.height:
                raise ClipError(f"{shown}: the video stream tells neither its rate nor its size")
            return ClipInfo(
                width=stream.width,
                height=stream.height,
                rate=Fraction(rate),
                duration_s=_duration(container, stream),
                pixel_format=stream.codec_context.pix_fmt or "unknown",
                transfer=_HDR_TRANSFERS.get(stream.codec_context.color_trc, Transfer.SDR),
            )
    except av.FFmpegError as error:
        raise ClipError(f"{shown} is not a video that can be read: {error.strerror}") from None


def _open(path: str) -> av.container.InputContainer:
    """Open a clip whatever the encoding of its titles, which are no matter of ours.

    PyAV up to 18 decodes them strictly unless it is told otherwise; 19 knows no such word.
    """
    try:
        return av.open(_url(path), mode="r")
    except UnicodeDecodeError:
        return av.open(_url(path), mode="r", metadata_errors="replace")


def _is_cover(stream: av.VideoStream) -> bool:
    """Whether the stream is a still picture attached to an audio file."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _duration(container: av.container.InputContainer, stream: av.VideoStream) -> Fraction | None:
    """The stream's own length, else that of its packets: the container's may be the audio's."""
    if stream.duration and stream.time_base:
        return Fraction(stream.duration * stream.time_base)
    first: Fraction | None = None
    last: Fraction | None = None
    for packet in container.demux(stream):
        if packet.pts is None or packet.time_base is None:
            continue
        start = Fraction(packet.pts * packet.time_base)
        end = start + Fraction((packet.duration or 0) * packet.time_base)
        first = start if first is None else min(first, start)
        last = end if last is None else max(last, end)
    return None if first is None or last is None or last <= first else last - first


def _url(path: str) -> str:
    """A path that no ffmpeg library takes for a protocol, an option or a pattern."""
    return f"file:{path}"


def printable(path: str) -> str:
    """A path as one line of text, whatever bytes it holds."""
    return path if path.isprintable() else ascii(path)
