"""Which ranges were decoded lately: a bounded, advisory index (`ctl/spans`), to find longer ones.

The key of a longer range cannot be guessed from a shorter one's, so whoever decodes a range notes
it here: one record a family (all axes of a key but start and duration), in the place that the
family's hash says, with the latest few ranges. A family that comes to the same place takes it.

It is a hint and no more. A record says which keys are worth computing; whether there is an entry,
and what it holds, is asked of the ordinary lookup. So a note that is lost, overwritten by another
writer at the same moment or of an entry that was evicted costs a decode at most. Each record is
one write, and one that was cut or torn does not fit its checksum and counts as none.
"""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass, replace
from fractions import Fraction

from untorn import layout, syscalls
from untorn.errors import KeyInputError
from untorn.key import KeyInputs, canonical_bytes
from untorn.root import Root

SLOTS = 4096  # a mebibyte at most, and only as much of it as was written
_SPANS = 7
_SPAN = struct.Struct("<qqqq")  # start, duration: numerator, denominator; duration 0/0: to the end
_FAMILY_BYTES = 16
_CHECK_BYTES = 16
RECORD_BYTES = _FAMILY_BYTES + _SPANS * _SPAN.size + _CHECK_BYTES  # 256: never across two pages
_MOST = 1 << 62


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A range that was decoded, in exact seconds; `duration_s` None is to the end."""

    start_s: Fraction
    duration_s: Fraction | None


def family_of(inputs: KeyInputs) -> bytes:
    """What ranges of one record share: every axis but start and duration."""
    axes = canonical_bytes(replace(inputs, start_s=Fraction(0), duration_s=None))
    return hashlib.sha256(axes).digest()[:_FAMILY_BYTES]


def recall(root: Root, inputs: KeyInputs) -> list[KeyInputs]:
    """The family's ranges that were noted, as inputs of keys, latest first (raises OSError).

    Without `inputs` itself.
    """
    family = family_of(inputs)
    try:
        with syscalls.opened(
            layout.SPANS, os.O_RDONLY | syscalls.FILE_FLAGS, dir_fd=root.ctl_fd
        ) as fd:
            noted = _unpack(os.pread(fd, RECORD_BYTES, _place(family)), family)
    except FileNotFoundError:
        return []
    found = []
    for span in noted:
        try:
            each = replace(inputs, start_s=span.start_s, duration_s=span.duration_s)
        except KeyInputError:
            continue  # no range that can be asked for
        if each != inputs:
            found.append(each)
    return found


def note(root: Root, inputs: KeyInputs) -> None:
    """Note that the range of `inputs` was decoded (raises OSError)."""
    family = family_of(inputs)
    span = Span(start_s=inputs.start_s, duration_s=inputs.duration_s)
    if _pack_span(span) is None:
        return  # numbers that nobody writes by hand; it will not be found
    flags = os.O_RDWR | os.O_CREAT | syscalls.FILE_FLAGS
    with syscalls.opened(layout.SPANS, flags, dir_fd=root.ctl_fd) as fd:
        place = _place(family)
        noted = _unpack(os.pread(fd, RECORD_BYTES, place), family)
        latest = [span, *[each for each in noted if each != span]][:_SPANS]
        os.pwrite(fd, _pack(family, latest), place)


def _place(family: bytes) -> int:
    return int.from_bytes(family[:8], "big") % SLOTS * RECORD_BYTES


def _pack(family: bytes, spans: list[Span]) -> bytes:
    packed = [_pack_span(span) or b"" for span in spans]
    body = (family + b"".join(packed)).ljust(RECORD_BYTES - _CHECK_BYTES, b"\0")
    return body + _check(body)


def _pack_span(span: Span) -> bytes | None:
    """None for numbers beyond 62 bits."""
    start, duration = span.start_s, span.duration_s
    numbers = [start.numerator, start.denominator]
    numbers += [0, 0] if duration is None else [duration.numerator, duration.denominator]
    return _SPAN.pack(*numbers) if max(numbers) < _MOST else None


def _unpack(record: bytes, family: bytes) -> list[Span]:
    """The ranges of a record; none where it is another family's, or damaged."""
    body, check = record[:-_CHECK_BYTES], record[-_CHECK_BYTES:]
    if len(record) != RECORD_BYTES or check != _check(body) or not body.startswith(family):
        return []
    spans = []
    for start, under_start, length, under_length in _SPAN.iter_unpack(body[_FAMILY_BYTES:]):
        if under_start <= 0:
            break
        duration = None if under_length <= 0 else Fraction(length, under_length)
        spans.append(Span(start_s=Fraction(start, under_start), duration_s=duration))
    return spans


def _check(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECK_BYTES, person=b"untorn-spans").digest()
