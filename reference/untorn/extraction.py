"""One clip range into a directory of frames, by ffmpeg.

ffmpeg-python builds the command; our own Popen starts it, because the decoder must inherit the
staging lock (`pass_fds`), must not inherit anything else, and runs in a process group of its own so
that Ctrl-C reaches us alone. A decoder that fails, or falls short of what the clip holds, is a
DecoderError: its frames are never published (contract D5).

Not here yet, and where they will go: HDR transforms and the final-frame mode (the `transform` axis
of the key), superset extraction and slicing (above this module, in a render).
"""

from __future__ import annotations

import _thread
import contextlib
import math
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import IO

import ffmpeg

from untorn.clip import ClipInfo, printable
from untorn.decoder import Decoder
from untorn.errors import ClipError, DecoderError
from untorn.key import FrameFormat
from untorn.space import Need

Progress = Callable[[int, int | None], None]
"""Called with the frames written so far and, where it is known, how many there will be."""

DEFAULT_JPG_QUALITY = 95
_PLACE_OF_CLIP = "the clip"
_FRAME_NAME = "frame_%05d"  # ffmpeg widens it past 99,999; frames are ordered by number
_MICROSECONDS = 10**6
_STATS_PERIOD_S = 0.2
_STDERR_BYTES = 4000
# Bytes a frame for each byte of its raw RGB, from testsrc2 and real clips, rounded up.
_BYTES_PER_RAW = {FrameFormat.PNG: 0.7, FrameFormat.JPG: 0.25}


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """What is decoded: exact seconds, frames a second, format, jpg quality from 1 to 100."""

    start_s: Fraction
    duration_s: Fraction | None
    fps: Fraction
    format: FrameFormat
    quality: int | None


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


def command(decoder: Decoder, clip: str, wanted: Range) -> list[str]:
    """The ffmpeg command line; frames are written to the current directory."""
    given: dict[str, str] = {}
    if wanted.start_s:
        given["ss"] = _seconds(wanted.start_s, math.floor)
    if wanted.duration_s is not None:
        given["t"] = _seconds(wanted.duration_s, math.ceil)
    stream = ffmpeg.input(_PLACE_OF_CLIP, **given).video
    stream = stream.filter("fps", fps=f"{wanted.fps.numerator}/{wanted.fps.denominator}")
    target = f"{_FRAME_NAME}.{wanted.format.value}"
    built = ffmpeg.output(stream, target, f="image2", **_encoding(wanted)).global_args(
        "-hide_banner", "-nostdin", "-loglevel", "error",
        "-progress", "pipe:1", "-stats_period", str(_STATS_PERIOD_S),
    )  # fmt: skip
    arguments = [str(part) for part in built.compile(cmd=decoder.path)]
    # ffmpeg-python hashes its nodes as UTF-8, which the name of a file need not be.
    arguments[arguments.index(_PLACE_OF_CLIP)] = f"file:{clip}"
    return arguments


def _encoding(wanted: Range) -> dict[str, str | int]:
    if wanted.format is FrameFormat.PNG:
        return {"compression_level": 1}  # a sixth larger than the default, at a third of the time
    quality = wanted.quality if wanted.quality is not None else DEFAULT_JPG_QUALITY
    # A fixed quantiser: without one the bytes depend on the number of threads.
    return {"q:v": min(31, max(2, math.ceil((100 - quality) / 3)))}


def _seconds(value: Fraction, to_integer: Callable[[Fraction], int]) -> str:
    """Microseconds are all ffmpeg reads; rounded so that no frame of the range falls out."""
    microseconds = to_integer(value * _MICROSECONDS)
    return f"{microseconds // _MICROSECONDS}.{microseconds % _MICROSECONDS:06d}"


def run(
    arguments: Sequence[str],
    directory: str,
    *,
    keep_fds: Sequence[int] = (),
    expected: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Run the decoder in `directory` to its end (DecoderError, or OSError if it cannot start).

    `keep_fds` stay open in the decoder. Whatever ends us early (Ctrl-C included) ends it as well.
    """
    with tempfile.TemporaryFile() as errors:
        started: list[subprocess.Popen[bytes]] = []
        try:
            _start(started, arguments, directory, errors, keep_fds)
            pipe = started[0].stdout
            assert pipe is not None
            with pipe:
                _follow(pipe, expected, progress)
                code = started[0].wait()
        except BaseException:
            for process in started:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                if process.stdout is not None:
                    process.stdout.close()
            raise
        if code != 0:
            raise DecoderError(f"the decoder failed ({_ending(code)}): {_last_words(errors)}")


def _start(
    started: list[subprocess.Popen[bytes]],
    arguments: Sequence[str],
    directory: str,
    errors: IO[bytes],
    keep_fds: Sequence[int],
) -> None:
    """Add the decoder to `started`, in a thread of its own.

    Signal handlers run in the main thread, between any two steps of it: a Ctrl-C inside of Popen
    would leave a decoder that nobody knows of and that nobody ends.
    """
    failures: list[OSError] = []
    done = threading.Event()

    def start() -> None:
        try:
            started.append(
                subprocess.Popen(
                    arguments,
                    cwd=directory,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    pass_fds=tuple(keep_fds),
                    start_new_session=True,
                )
            )
        except OSError as error:
            failures.append(error)
        finally:
            done.set()

    try:
        _thread.start_new_thread(start, ())
        done.wait()
    except RuntimeError as error:  # no thread can be started
        raise DecoderError(f"cannot start {arguments[0]}: {error}") from None
    except BaseException:
        done.wait()  # a millisecond; then the caller knows whom to end
        raise
    for failure in failures:
        if failure.filename == directory:
            raise failure
        raise DecoderError(f"cannot start {arguments[0]}: {failure.strerror}") from None


def _follow(pipe: IO[bytes], expected: int | None, progress: Progress | None) -> None:
    """Read `-progress` to its end: name=value lines, of which frame= counts what was written."""
    for line in pipe:
        name, _, value = line.partition(b"=")
        if progress is not None and name == b"frame" and value.strip().isdigit():
            progress(int(value), expected)


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        return f"signal {-code}"


def _last_words(errors: IO[bytes]) -> str:
    errors.seek(0, os.SEEK_END)
    errors.seek(max(0, errors.tell() - _STDERR_BYTES))
    lines = errors.read().decode("utf-8", "replace").strip().splitlines()
    return printable(lines[-1]) if lines else "it said nothing"


def require_enough(found: int, info: ClipInfo, wanted: Range, expected: int | None) -> None:
    """DecoderError if the decoder fell short: no frame, or more than a source frame too few.

    One source frame of slack, because where the last frame ends is the container's guess.
    """
    if found == 0:
        raise DecoderError("the decoder wrote no frame for this range")
    slack = max(1, math.ceil(wanted.fps / info.rate))
    if expected is not None and found < expected - slack:
        raise DecoderError(f"the decoder fell short: {found} frames of {expected}")
