"""One decoder run, from its start to its end, into a directory of frames.

Our own Popen starts it, because the decoder must inherit the staging lock (`pass_fds`), must not
inherit anything else, and runs in a process group of its own so that Ctrl-C reaches us alone. A
decoder that fails is a DecoderError: its frames are never published (contract D5).
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import IO

from untorn.cancel import Cancel, kill_group
from untorn.clip import printable
from untorn.errors import DecoderError

Progress = Callable[[int, int | None], None]
"""Called with the frames written so far and, where it is known, how many there will be."""

_STDERR_BYTES = 4000


def run(
    arguments: Sequence[str],
    directory: str,
    *,
    keep_fds: Sequence[int] = (),
    expected: int | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> None:
    """Run the decoder in `directory` to its end (DecoderError, or OSError if it cannot start).

    `keep_fds` stay open in the decoder. Whatever ends us early ends it as well: Ctrl-C if this is
    the main thread, `cancel` (which raises Cancelled here) in any.
    """
    cancel = cancel or Cancel()
    cancel.require_going()
    with tempfile.TemporaryFile() as errors:
        started: list[subprocess.Popen[bytes]] = []
        try:
            _start(started, arguments, directory, errors, keep_fds)
            pipe = started[0].stdout
            assert pipe is not None
            with pipe, cancel.ends(started[0]):
                _follow(pipe, expected, progress)
                _await_end(started[0])
            code = started[0].wait()
        except BaseException:
            for process in started:
                kill_group(process)
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
        except Exception as error:  # as out of memory, or while the interpreter ends
            failures.append(OSError(0, str(error) or type(error).__name__))
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


def _await_end(process: subprocess.Popen[bytes]) -> None:
    """Wait without reaping: until `cancel` has forgotten the number it must not be another's.

    Without waitid(2), which macOS came to late, a cancel ends only decoders that still tell.
    """
    if not hasattr(os, "waitid"):
        return
    with contextlib.suppress(ChildProcessError):  # the program reaps, or ignores, all its children
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


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
