"""The exit codes of every `untorn` command, in one table."""

from __future__ import annotations

from enum import IntEnum

from untorn.errors import (
    ClipError,
    ConfigError,
    DecoderError,
    KeyInputError,
    RootRefusedError,
    UntornError,
)


class ExitCode(IntEnum):
    """What a command's exit code means. pytest's own codes 1 to 5 never stand for a verdict."""

    OK = 0
    NON_CONFORMANT = 1
    USAGE = 2
    CLIP = 3
    DECODER = 4
    ROOT = 5
    PARTIAL = 6
    INVALID = 7
    SOME_FAILED = 8
    SYSTEM = 9
    INTERRUPTED = 130
    TERMINATED = 143


MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "done (verify: conformant)",
    ExitCode.NON_CONFORMANT: "verify: non-conformant",
    ExitCode.USAGE: "a bad argument, option, composition or UNTORN_* value",
    ExitCode.CLIP: "the clip cannot be used: missing, no video, or the range lies outside it",
    ExitCode.DECODER: "no ffmpeg that runs, or it failed or fell short of frames",
    ExitCode.ROOT: "the cache root is not safe to use or cannot be written",
    ExitCode.PARTIAL: "verify: partial (0 with --allow-partial)",
    ExitCode.INVALID: "verify: no verdict is possible",
    ExitCode.SOME_FAILED: "render: a clip failed, and is named; every other one was delivered",
    ExitCode.SYSTEM: "the system refused, as for want of room, of threads or of a place to write",
    ExitCode.INTERRUPTED: "stopped by Ctrl-C; nothing half done is left",
    ExitCode.TERMINATED: "stopped by SIGTERM or SIGHUP; nothing half done is left",
}

_BY_ERROR: tuple[tuple[type[UntornError], ExitCode], ...] = (
    (ConfigError, ExitCode.USAGE),
    (KeyInputError, ExitCode.USAGE),
    (ClipError, ExitCode.CLIP),
    (DecoderError, ExitCode.DECODER),
    (RootRefusedError, ExitCode.ROOT),
)


def of_error(error: UntornError) -> ExitCode:
    """The exit code of an error that a command ends with."""
    for kind, code in _BY_ERROR:
        if isinstance(error, kind):
            return code
    return ExitCode.SYSTEM


def table() -> str:
    """The table as plain lines, for --help."""
    return "\n".join(f"{code.value:>4}  {meaning}" for code, meaning in MEANINGS.items())
