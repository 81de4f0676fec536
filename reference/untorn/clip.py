"""A clip as it lies on disk: its identity, and what PyAV says is in it."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction

import av

from untorn import boxes, pacing
from untorn.cancel import Cancel
from untorn.colour import HLG, PQ, Colour, Family
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


_MAX_REMEMBERED = 1024
_BLOCK_BYTES = 1 << 20  # a millisecond or two of hashing, after which we may be told to stop
# What these formats show lies in other files, whose changes no key and no look at this one tells.
_POINTERS = frozenset({"concat", "hls", "dash", "imf", "sdp", "webm_dash_manifest"})

_HDR_TRANSFERS = {PQ: Transfer.PQ, HLG: Transfer.HLG}
_FULL_RANGE = {1: False, 2: True}  # as ffmpeg numbers them

_contents: dict[tuple[str, SourceState], str] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipInfo:
    """The first video stream: size in stored pixels, average rate in frames a second, seconds.

    Stored pixels are what frames consist of: those of an anamorphic clip (`sample_aspect` other
    than 1, the width of a pixel by its height) are not stretched. Only `rotation_degrees`, by which
    players turn the picture anticlockwise, is applied: frames come out upright, so that 90 and 270
    swap width and height.

    `start_s` is when the first picture is shown, counted from the clip's beginning, which its sound
    may make earlier; `duration_s` counts from there, and is None where neither the container nor
    its packets tell. `variable_rate`: frames are not evenly spaced; `longest_last_s` is the longest
    of the last few, which is how far off a stated end may be. `depth_bits` is of one sample.
    """

    width: int
    height: int
    rate: Fraction
    duration_s: Fraction | None
    pixel_format: str
    transfer: Transfer
    codec: str = "unknown"
    alpha: bool = False
    depth_bits: int = 8
    variable_rate: bool = False
    longest_last_s: Fraction | None = None
    rotation_degrees: int = 0
    sample_aspect: Fraction = Fraction(1)
    start_s: Fraction = Fraction(0)
    colour: Colour = field(default_factory=Colour)

    @property
    def end_s(self) -> Fraction | None:
        """When the last picture is over, counted from the clip's beginning."""
        return None if self.duration_s is None else self.start_s + self.duration_s

    @property
    def slack_s(self) -> Fraction:
        """How far off the stated end may be: one frame of the source."""
        return self.longest_last_s or 1 / self.rate


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


def identify(
    path: str, state: SourceState, *, by_content: bool, cancel: Cancel | None = None
) -> SourceIdentity:
    """The clip's part of a key; by content it is read once in full (raises ClipError).

    Once a process and state, however many ranges of the clip are asked for. `cancel` ends the
    reading (Cancelled).
    """
    content = None
    if by_content:
        content = _contents.get((path, state)) or _content_sha256(path, cancel or Cancel())
        if len(_contents) >= _MAX_REMEMBERED:
            _contents.clear()
        _contents[path, state] = content
    return SourceIdentity(
        path=path, mtime_ns=state.mtime_ns, size=state.size, content_sha256=content
    )


def _content_sha256(path: str, cancel: Cancel) -> str:
    digest, block = hashlib.sha256(), bytearray(_BLOCK_BYTES)
    try:
        with open(path, "rb", buffering=0) as file:
            while size := file.readinto(block):
                cancel.require_going()
                digest.update(memoryview(block)[:size])
    except OSError as error:
        raise ClipError(f"{printable(path)}: {error.strerror}") from None
    return digest.hexdigest()


def probe(path: str) -> ClipInfo:
    """What is in the clip; ClipError if it is no video, or one that cannot be shown upright."""
    shown = printable(path)
    try:
        with open_container(path) as container:
            if not _POINTERS.isdisjoint(container.format.name.split(",")):
                raise ClipError(f"{shown} is a list of other files, not a clip")
            streams = [s for s in container.streams.video if not is_cover(s)]
            if not streams:
                raise ClipError(f"{shown} has no video stream")
            if not streams[0].codec_context:
                raise ClipError(f"{shown}: nobody here knows how its video is coded")
            rate = streams[0].average_rate or streams[0].guessed_rate
            if not rate or not streams[0].width or not streams[0].height:
                raise ClipError(f"{shown}: the video stream tells neither its rate nor its size")
            may_turn = not pacing.is_indexed(container) or boxes.may_turn(path)
            info = _info(container, streams[0], Fraction(rate), may_turn)
    except av.FFmpegError as error:
        raise ClipError(f"{shown} is not a video that can be read: {error.strerror}") from None
    except OSError as error:
        raise ClipError(f"{shown}: {error.strerror}") from None
    if info.rotation_degrees % 90:
        raise ClipError(
            f"{shown} is to be shown turned by {info.rotation_degrees} degrees: "
            "frames are made upright by quarter turns alone"
        )
    return info


def libraries() -> str:
    """Whose words a probe's are: PyAV, the libraries below it, and what they were built to read."""
    versions = (av.__version__, sorted(av.library_versions.items()))
    return repr((versions, sorted(av.codecs_available), sorted(av.formats_available)))


def _info(
    container: av.container.InputContainer, stream: av.VideoStream, rate: Fraction, may_turn: bool
) -> ClipInfo:
    context = stream.codec_context
    aspect = stream.sample_aspect_ratio
    walk = pacing.walk(container, stream, picture_needed=may_turn)
    picture = walk.picture
    pixel_format = (picture.format.name if picture else context.pix_fmt) or "unknown"
    components = av.VideoFormat(pixel_format).components if pixel_format != "unknown" else ()
    return ClipInfo(
        width=stream.width,
        height=stream.height,
        rate=rate,
        duration_s=walk.duration_s,
        pixel_format=pixel_format,
        transfer=_HDR_TRANSFERS.get(context.color_trc, Transfer.SDR),
        codec=stream.codec.name,
        alpha=_has_hidden_alpha(stream) or any(each.is_alpha for each in components),
        depth_bits=max((each.bits for each in components), default=8),
        variable_rate=walk.variable,
        longest_last_s=walk.longest_last_s,
        rotation_degrees=picture.rotation % 360 if picture else 0,
        sample_aspect=Fraction(aspect) if aspect else Fraction(1),
        start_s=walk.start_s,
        colour=_colour(context, pixel_format),
    )


def _has_hidden_alpha(stream: av.VideoStream) -> bool:
    """Whether there is a second picture beside each, of alpha: VP8's and VP9's way in WebM."""
    return stream.codec.name in ("vp8", "vp9") and stream.metadata.get("alpha_mode") == "1"


def _colour(context: av.VideoCodecContext, pixel_format: str) -> Colour:
    if pixel_format == "unknown":
        return Colour()
    layout = av.VideoFormat(pixel_format, 64, 64)
    samples = [each for each in layout.components if not each.is_alpha]
    family = Family.YUV
    if layout.is_rgb or layout.has_palette:
        family = Family.RGB
    elif len(samples) == 1:
        family = Family.GREY
    return Colour(
        family=family,
        subsampled=any((each.width, each.height) != (64, 64) for each in samples),
        matrix=context.colorspace,
        primaries=context.color_primaries,
        transfer=context.color_trc,
        full_range=pixel_format.startswith("yuvj") or _FULL_RANGE.get(context.color_range),
    )


def open_container(path: str) -> av.container.InputContainer:
    """Open a clip whatever the encoding of its titles, which are no matter of ours.

    PyAV up to 18 decodes them strictly unless it is told otherwise; 19 knows no such word.
    """
    try:
        return av.open(_url(path), mode="r")
    except UnicodeDecodeError:
        return av.open(_url(path), mode="r", metadata_errors="replace")


def is_cover(stream: av.VideoStream) -> bool:
    """Whether the stream is a still picture attached to an audio file."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _url(path: str) -> str:
    """A path that no ffmpeg library takes for a protocol, an option or a pattern."""
    return f"file:{path}"


def printable(path: str) -> str:
    """A path as one line of text, whatever bytes it holds."""
    return path if path.isprintable() else ascii(path)
