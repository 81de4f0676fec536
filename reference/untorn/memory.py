"""What earlier processes found in clips: a bounded, advisory file (`ctl/probes`), a line a clip.

To open a clip takes longer than to serve its frames. So what was found in one is noted: which path
and state of which clip is meant and who looked, the day, what was found, and a checksum of it all.
A line that is cut, torn, altered, too old, of a day to come or by other libraries than ours counts
as none, and the clip is opened.

A line is believed where the clip is in the very state that it was opened in, which is what contract
K3 rests on. Nothing is noted of a clip that had changed so shortly before it was opened that one
more change might have left it the same time stamps.

The file is rewritten in place by one write, latest lines first. Whoever reads meanwhile, or after
a writer was killed, finds the lines that are whole; of two writers at once one may be forgotten.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from untorn import boxes, clip, colour, layout, pacing, syscalls
from untorn.clip import ClipInfo, SourceState, Transfer
from untorn.colour import Colour, Family

SETTLED_NS = 2 * 10**9  # FAT counts time stamps by two seconds; nothing else in use is coarser
MOST_BYTES = 256 * 1024  # about nine hundred clips
MOST_DAYS = 30

_FORMAT = 1  # another one where the same words come to mean something else
_DAY_S = 24 * 3600
_CHECK_BYTES = 16
_MOST = 1 << 31  # of a width, a height or one of the numbers that stand for colours
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_RATIO = re.compile(r"([0-9]{1,18})/([1-9][0-9]{0,17})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """What was in the file: lines by what they are about, unchecked, and its size in bytes."""

    lines: Mapping[bytes, bytes] = field(default_factory=dict)
    size: int = 0

    def recall(self, about: bytes) -> ClipInfo | None:
        """What was found in the clip that `about` means; None if no line tells that is sound."""
        line = self.lines.get(about)
        return None if line is None else _understood(line)


def about(path: str, state: SourceState) -> bytes | None:
    """What a line begins with: the clip at the real path `path` in `state`, as we look at it.

    The path as well, because ffmpeg's libraries take a name for a hint at what is in a file. None
    where it cannot be told who we are.
    """
    if _OURSELVES is None:
        return None
    told = f"{state.device} {state.inode} {state.size} {state.mtime_ns} {state.ctime_ns} "
    return _digest(_OURSELVES + told.encode("ascii") + os.fsencode(path))


def is_settled(state: SourceState, now_ns: int) -> bool:
    """Whether every change to the clip from `now_ns` on shows in its time stamps."""
    return now_ns - max(state.mtime_ns, state.ctime_ns) >= SETTLED_NS


def read(ctl_fd: int) -> Memory:
    """All that is remembered; nothing where there is no file (raises OSError)."""
    try:
        with syscalls.opened(layout.PROBES, os.O_RDONLY | syscalls.FILE_FLAGS, dir_fd=ctl_fd) as fd:
            page = os.pread(fd, MOST_BYTES, 0)
    except FileNotFoundError:
        return Memory()
    lines = [line for line in page.split(b"\n") if line]
    return Memory(lines={line.partition(b" ")[0]: line for line in lines}, size=len(page))


def add(ctl_fd: int, memory: Memory, found: Mapping[bytes, ClipInfo]) -> None:
    """Note what was just found besides what was in the file, as it was read (raises OSError)."""
    today = int(time.time()) // _DAY_S
    lines = [_line(each, today, info) for each, info in found.items()]
    lines = [
        line
        for line, info in zip(lines, found.values(), strict=True)
        if _understood(line) == info  # what would not be taken as it is meant is not worth a line
    ]
    earlier = [line for each, line in memory.lines.items() if each not in found]
    lines += [line for line in earlier if _understood(line) is not None]
    page = b""
    for line in lines:
        if len(page) + len(line) >= MOST_BYTES:
            break
        page += line + b"\n"
    flags = os.O_WRONLY | os.O_CREAT | syscalls.FILE_FLAGS
    with syscalls.opened(layout.PROBES, flags, dir_fd=ctl_fd) as fd:
        os.pwrite(fd, page.ljust(memory.size, b"\n"), 0)  # nothing of before shows behind it


def _line(about: bytes, day: int, info: ClipInfo) -> bytes:
    told = json.dumps(_told(info), separators=(",", ":")).encode("ascii")
    line = b"%s %d %s" % (about, day, told)
    return line + b" " + _digest(line)


def _understood(line: bytes) -> ClipInfo | None:
    """What a line says; None where it is not whole, or is not to be believed any more."""
    words, _, check = line.rpartition(b" ")
    if check != _digest(words):
        return None
    try:
        _, day, told = words.split(b" ", 2)
        age_days = int(time.time()) // _DAY_S - int(day)
        return _info(json.loads(told)) if 0 <= age_days <= MOST_DAYS else None
    except (ValueError, TypeError, RecursionError):
        return None  # made by hand: nothing of ours writes this


def _told(info: ClipInfo) -> list[object]:
    shown = info.colour
    return [
        info.width,
        info.height,
        _ratio(info.rate),
        _ratio(info.duration_s),
        info.pixel_format,
        info.transfer,
        info.codec,
        info.alpha,
        info.depth_bits,
        info.variable_rate,
        _ratio(info.longest_last_s),
        info.rotation_degrees,
        _ratio(info.sample_aspect),
        _ratio(info.start_s),
        shown.family,
        shown.subsampled,
        shown.matrix,
        shown.primaries,
        shown.transfer,
        shown.full_range,
    ]


def _info(told: list[object]) -> ClipInfo:
    """The reverse of `_told`; ValueError or TypeError for what is none of its answers."""
    width, height, rate, duration, pixels, transfer, codec, alpha, depth, uneven = told[:10]
    longest, turned, aspect, start, family, subsampled, matrix, primaries, curve, full = told[10:]
    colour = Colour(
        family=Family(_word(family)),
        subsampled=_flag(subsampled),
        matrix=_whole(matrix),
        primaries=_whole(primaries),
        transfer=_whole(curve),
        full_range=None if full is None else _flag(full),
    )
    return ClipInfo(
        width=_whole(width),
        height=_whole(height),
        rate=_exact(rate),
        duration_s=None if duration is None else _exact(duration),
        pixel_format=_word(pixels),
        transfer=Transfer(_word(transfer)),
        codec=_word(codec),
        alpha=_flag(alpha),
        depth_bits=_whole(depth),
        variable_rate=_flag(uneven),
        longest_last_s=None if longest is None else _exact(longest),
        rotation_degrees=_whole(turned),
        sample_aspect=_exact(aspect),
        start_s=_exact(start),
        colour=colour,
    )


def _ratio(value: Fraction | None) -> str | None:
    return None if value is None else f"{value.numerator}/{value.denominator}"


def _exact(value: object) -> Fraction:
    match = _RATIO.fullmatch(_text(value))
    if match is None:
        raise ValueError("no ratio of ours")
    return Fraction(int(match.group(1)), int(match.group(2)))


def _word(value: object) -> str:
    text = _text(value)
    if not _WORD.fullmatch(text):
        raise ValueError("no name of ours")
    return text


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("neither true nor false")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MOST:
        raise ValueError("no number of ours")
    return value


def _digest(data: bytes) -> bytes:
    digest = hashlib.blake2b(data, digest_size=_CHECK_BYTES, person=b"untorn-probes")
    return digest.hexdigest().encode("ascii")


def _ourselves() -> bytes | None:
    """Who looks into clips: our code as it lies on disk, and the libraries below it.

    None where our code lies in no files. A release that looks differently so begins anew.
    """
    digest = hashlib.sha256(f"{_FORMAT} {clip.libraries()}".encode())
    try:
        for path in (boxes.__file__, clip.__file__, colour.__file__, pacing.__file__):
            digest.update(Path(path).read_bytes())
    except OSError:
        return None
    return digest.digest()


_OURSELVES = _ourselves()
