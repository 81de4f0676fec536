"""What a caller asks for: one clip range as frames."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from untorn.cancel import Cancel
from untorn.clip import SourceState, identify, source_state
from untorn.command import DEFAULT_JPG_QUALITY, Range
from untorn.errors import ClipError, KeyInputError
from untorn.key import (
    FrameFormat,
    KeyInputs,
    Rational,
    SourceIdentity,
    compute_key,
    exact,
)
from untorn.transform import Transform, axis, parse


class Identity(StrEnum):
    """What makes two clips the same: where they lie and when they were written, or their bytes."""

    STAT = "stat"
    CONTENT = "content"


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Frames of `clip` from `start` for `duration` seconds at `fps` frames a second.

    Numbers may be int, float, Decimal, Fraction or text such as "30000/1001". `duration` None is
    "to the end". `quality` from 1 to 100 is for jpg alone (default 95). `identity` CONTENT reads
    the clip once in full, so that copies of it share an entry.

    Frames have the clip's stored pixels, upright, in png with its alpha and its depth; jpg of a
    clip with alpha is a ClipError, for it would be lost. `final_frame` asks for one frame, the one
    that is shown last in the range, whatever `fps` says. `transform` converts between SDR and HDR
    in the decoding pass (see untorn.transform); to HDR is for png alone, of 16 bits a sample.
    """

    clip: str | os.PathLike[str]
    fps: Rational
    format: FrameFormat | str = FrameFormat.PNG
    start: Rational = 0
    duration: Rational | None = None
    quality: int | None = None
    identity: Identity | str = Identity.STAT
    final_frame: bool = False
    transform: Transform | str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """A request that means something: the clip's real path and state, and the exact range."""

    path: str
    state: SourceState
    identity: Identity
    range: Range

    def key_inputs(self, decoder_fingerprint: str, cancel: Cancel | None = None) -> KeyInputs:
        """The axes of this request's key (KeyInputError, ClipError, Cancelled)."""
        wanted, by_content = self.range, self.identity is Identity.CONTENT
        return KeyInputs(
            source=identify(self.path, self.state, by_content=by_content, cancel=cancel),
            fps=wanted.fps,
            format=wanted.format,
            decoder=decoder_fingerprint,
            start_s=wanted.start_s,
            duration_s=wanted.duration_s,
            quality=wanted.quality,
            transform=axis(wanted.transform, wanted.final_frame),
        )

    def key(self, decoder_fingerprint: str) -> str:
        """This request's key."""
        return compute_key(self.key_inputs(decoder_fingerprint))


def resolve(request: Request) -> Resolved:
    """The request with every value checked; KeyInputError or ClipError say what is wrong."""
    wanted = range_of(request)
    try:
        path = os.path.realpath(os.fsdecode(os.fspath(request.clip)))
        return Resolved(
            path=path, state=source_state(path), identity=_identity(request.identity), range=wanted
        )
    except ValueError as error:  # an embedded NUL
        raise ClipError(f"not a path: {error}") from None


def range_of(request: Request) -> Range:
    """What is asked for, exactly, with no look at the clip (KeyInputError); pure."""
    wanted = Range(
        start_s=exact(request.start, "start"),
        duration_s=None if request.duration is None else exact(request.duration, "duration"),
        fps=exact(request.fps, "fps"),
        format=_format(request.format),
        quality=None,
        final_frame=request.final_frame,
        transform=_transform(request.transform, request.format),
    )
    wanted = _with_quality(wanted, request.quality)
    _require_valid(wanted)
    return wanted


def _require_valid(wanted: Range) -> None:
    """Let the key's own rules judge the range, so that they are written once (KeyInputError)."""
    KeyInputs(
        source=SourceIdentity(path="", mtime_ns=0, size=0),
        fps=wanted.fps,
        format=wanted.format,
        decoder="unknown",
        start_s=wanted.start_s,
        duration_s=wanted.duration_s,
        quality=wanted.quality,
    )


def _format(value: FrameFormat | str) -> FrameFormat:
    try:
        return FrameFormat(str(value).lower())
    except ValueError:
        words = ", ".join(FrameFormat)
        raise KeyInputError(f"format must be one of {words}, not {value!r}") from None


def _identity(value: Identity | str) -> Identity:
    try:
        return Identity(value)
    except ValueError:
        words = ", ".join(Identity)
        raise KeyInputError(f"identity must be one of {words}, not {value!r}") from None


def _transform(value: Transform | str | None, frame_format: FrameFormat | str) -> Transform | None:
    transform = parse(value)
    if transform and transform.to_hdr and _format(frame_format) is FrameFormat.JPG:
        raise KeyInputError(f"{transform} needs more than the 8 bits of jpg: ask for png")
    return transform


def _with_quality(wanted: Range, quality: int | None) -> Range:
    if wanted.format is not FrameFormat.JPG:
        if quality is not None:
            raise KeyInputError(f"{wanted.format} is lossless: quality is for jpg alone")
        return wanted
    return replace(wanted, quality=DEFAULT_JPG_QUALITY if quality is None else quality)


def fraction_text(value: Fraction) -> str:
    """An exact rational as people read it: 30, 29.97 or 30000/1001."""
    if value.denominator == 1:
        return str(value.numerator)
    return f"{value.numerator}/{value.denominator}"
