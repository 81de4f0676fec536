"""What identifies an entry: every input that can change an output byte, and nothing else.

The inputs become canonical bytes (sorted JSON in ASCII, exact rationals as "n/d") and the key is
their SHA-256 in full. An axis that is absent is left out of the bytes, so an axis added later keeps
every older key valid (contract K4). Golden vectors: untorn_fixtures/vectors/keys.json.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from untorn.errors import KeyInputError
from untorn.layout import is_key

_DOMAIN = b"untorn-key-1\n"  # another schema gets another domain, never the same key
MAX_SECONDS = 10**7  # about four months: longer is a mistake, not a clip
MAX_FPS = 10_000
MAX_QUALITY = 100
_MAX_TEXT = 100  # characters of a number
_MAX_DIGITS = 40  # before or behind the point; an exponent beyond it would take hours to write out
_EXPONENT = re.compile(r"[eE]([+-]?\d+(?:_\d+)*)\Z")

Rational = int | float | str | Decimal | Fraction


class FrameFormat(StrEnum):
    """How a frame is encoded: png is lossless, jpg has a quality."""

    PNG = "png"
    JPG = "jpg"


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceIdentity:
    """Which bytes are decoded: a path with its mtime (ns) and size (bytes), or a content hash.

    With `content_sha256` the other three are left out of the key: the same bytes under another name
    share an entry.
    """

    path: str
    mtime_ns: int
    size: int
    content_sha256: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyInputs:
    """The axes of a key. Times are exact seconds, `fps` is exact frames a second.

    `duration_s` None is "to the end". `quality` is None for lossless formats. `transform` names a
    conversion in the decoding pass (HDR and final-frame modes); None is the plain extraction.
    """

    source: SourceIdentity
    fps: Fraction
    format: FrameFormat
    decoder: str
    start_s: Fraction = Fraction(0)
    duration_s: Fraction | None = None
    quality: int | None = None
    transform: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no clip can mean (KeyInputError)."""
        _require(0 < self.fps <= MAX_FPS, f"fps must be above 0 and at most {MAX_FPS}")
        _require(0 <= self.start_s <= MAX_SECONDS, f"start must be from 0 to {MAX_SECONDS} s")
        if self.duration_s is not None:
            _require(
                0 < self.duration_s <= MAX_SECONDS,
                f"duration must be above 0 and at most {MAX_SECONDS} s",
            )
        if self.quality is not None:
            # 95.0 is not 95 in the canonical bytes: one meaning must not have two keys.
            whole = isinstance(self.quality, int) and not isinstance(self.quality, bool)
            _require(
                whole and 1 <= self.quality <= MAX_QUALITY,
                f"quality must be a whole number from 1 to {MAX_QUALITY}",
            )
        _require(bool(self.decoder), "the decoder fingerprint is empty")
        _require(self.transform != "", "transform is empty; leave it out for none")
        _require(self.source.size >= 0, "a source has no negative size")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise KeyInputError(message)


def exact(value: Rational, name: str) -> Fraction:
    """An exact rational from what people write: 30, 29.97, "30000/1001", Decimal, Fraction.

    A float means its shortest decimal (0.1 is 1/10). NaN, infinities, -0.0, a zero denominator and
    text that is no number raise KeyInputError naming `name`.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            raise KeyInputError(f"{name} must be a finite number, not {value}")
        if value == 0 and math.copysign(1, value) < 0:
            raise KeyInputError(f"{name} must not be negative zero")
        value = float.__repr__(value)  # numpy's floats are floats and print their type's name
    text = value.strip() if isinstance(value, str) else value
    _refuse_endless(text, name)
    try:
        number = Fraction(text)
    except ZeroDivisionError:
        raise KeyInputError(f"{name} has a zero denominator: {value}") from None
    except (ValueError, OverflowError, TypeError):
        raise KeyInputError(
            f"{name} must be a number such as 30, 29.97 or 30000/1001, not {value!r}"
        ) from None
    if number == 0 and str(text).startswith("-"):
        raise KeyInputError(f"{name} must not be negative zero")
    return number


def _refuse_endless(value: object, name: str) -> None:
    """KeyInputError for a number that is short to write and would take hours to make exact."""
    exponent = 0
    if isinstance(value, str):
        match = _EXPONENT.search(value[-_MAX_TEXT:])
        exponent = _MAX_TEXT if len(value) > _MAX_TEXT else int(match.group(1)) if match else 0
    elif isinstance(value, Decimal) and value.is_finite():
        exponent = max(abs(value.adjusted()), abs(int(value.as_tuple().exponent)))
    if abs(exponent) > _MAX_DIGITS:
        raise KeyInputError(f"{name} is out of range: {str(value)[:_MAX_DIGITS]}")


def canonical_bytes(inputs: KeyInputs) -> bytes:
    """The bytes that are hashed: one text for one meaning, in every process everywhere."""
    source = inputs.source
    axes: dict[str, object] = {
        "fps": _ratio(inputs.fps),
        "format": inputs.format.value,
        "decoder": inputs.decoder,
        "start_s": _ratio(inputs.start_s),
    }
    if source.content_sha256 is not None:
        axes["content"] = source.content_sha256
    else:
        # A path of any bytes: what is not UTF-8 becomes lone surrogates, escaped by ASCII JSON.
        axes["path"] = os.fsencode(source.path).decode("utf-8", "surrogateescape")
        axes["mtime_ns"] = source.mtime_ns
        axes["size"] = source.size
    if inputs.duration_s is not None:
        axes["duration_s"] = _ratio(inputs.duration_s)
    if inputs.quality is not None:
        axes["quality"] = inputs.quality
    if inputs.transform is not None:
        axes["transform"] = inputs.transform
    return _DOMAIN + json.dumps(
        axes, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False
    ).encode("ascii")


def compute_key(inputs: KeyInputs) -> str:
    """The entry's key: 64 hexadecimal digits."""
    return hashlib.sha256(canonical_bytes(inputs)).hexdigest()


def derive_key(*parts: bytes | str) -> str:
    """A key for a producer that is not ffmpeg: SHA-256 over length-prefixed parts."""
    digest = hashlib.sha256(b"untorn-derived-1\n")
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode("utf-8", "surrogateescape")
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


def require_key(key: str) -> str:
    """`key` if it is a full key; KeyInputError otherwise, so that no name leaves the root."""
    if not isinstance(key, str) or not is_key(key):
        raise KeyInputError(f"a key is 64 lower-case hexadecimal digits, not {key!r}")
    return key


def _ratio(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"
