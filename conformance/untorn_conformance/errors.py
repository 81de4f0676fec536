"""What can go wrong between the harness and a backend, and whether it had an effect.

An error is *definite* when the operation certainly changed nothing, and *indefinite* when it may
have happened. When in doubt an error is indefinite: that is always safe, because a judge then
allows both histories. Each code says by default which one it is; an answer may say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class ErrorCode(StrEnum):
    """The closed list of error codes; a backend invents no others."""

    BAD_REQUEST = "bad-request"
    UNSUPPORTED = "unsupported"
    INVALID_ENTRY = "invalid-entry"
    INVALID_KEY = "invalid-key"
    ROOT_REFUSED = "root-refused"
    BAD_CONFIG = "bad-config"
    BAD_CLIP = "bad-clip"
    DECODER_FAILED = "decoder-failed"
    SOURCE_CHANGED = "source-changed"
    INTERNAL = "internal"
    DIED = "died"
    DEADLINE = "deadline"
    PROTOCOL = "protocol"


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorKind:
    """What a code means, whether it is definite, and whether only the harness says it."""

    doc: str
    definite: bool
    harness_only: bool = False


ERROR_KINDS: Final[Mapping[ErrorCode, ErrorKind]] = MappingProxyType(
    {
        ErrorCode.BAD_REQUEST: ErrorKind(
            doc="the request has the wrong shape, or names a handle that does not exist",
            definite=True,
        ),
        ErrorCode.UNSUPPORTED: ErrorKind(
            doc="the backend does not have this verb; a declared capability must never say so",
            definite=True,
        ),
        ErrorCode.INVALID_ENTRY: ErrorKind(
            doc="no file, a gap, a duplicate or a zero-length frame (P8)", definite=True
        ),
        ErrorCode.INVALID_KEY: ErrorKind(
            doc="the key, an axis of it or a frame name is not acceptable (K2, S2)", definite=True
        ),
        ErrorCode.ROOT_REFUSED: ErrorKind(
            doc="an explicitly given root is not safe to use (S1)", definite=True
        ),
        ErrorCode.BAD_CONFIG: ErrorKind(
            doc="a configuration value is not acceptable; the message names the variable (F3, G10)",
            definite=True,
        ),
        ErrorCode.BAD_CLIP: ErrorKind(
            doc="the source cannot be read or does not contain what was asked for", definite=True
        ),
        ErrorCode.DECODER_FAILED: ErrorKind(
            doc="the decoder failed or fell short of frames; nothing was published (D5)",
            definite=True,
        ),
        ErrorCode.SOURCE_CHANGED: ErrorKind(
            doc="the source changed while it was extracted; nothing was published (K3)",
            definite=True,
        ),
        ErrorCode.INTERNAL: ErrorKind(
            doc="the backend met something that it did not expect", definite=False
        ),
        ErrorCode.DIED: ErrorKind(
            doc="the worker ended before it answered", definite=False, harness_only=True
        ),
        ErrorCode.DEADLINE: ErrorKind(
            doc="no answer came within the deadline of the call", definite=False, harness_only=True
        ),
        ErrorCode.PROTOCOL: ErrorKind(
            doc="the answer is not a message of the protocol", definite=False, harness_only=True
        ),
    }
)


class BackendError(Exception):
    """A verb ended in an error instead of an answer.

    ``definite`` is True when the operation certainly had no effect; left out, the code decides.
    """

    def __init__(self, code: ErrorCode, message: str, definite: bool | None = None) -> None:
        super().__init__(code, message, definite)
        self.code = ErrorCode(code)
        self.message = message
        self.definite = ERROR_KINDS[self.code].definite if definite is None else definite

    def __str__(self) -> str:
        effect = "no effect" if self.definite else "effect unknown"
        return f"{self.code} ({effect}): {self.message}"


class ProtocolError(Exception):
    """A line is not a message of the protocol.

    ``problem`` says what is wrong, ``hint`` what its author probably meant, ``line`` quotes it.
    """

    def __init__(self, problem: str, *, hint: str = "", line: str = "") -> None:
        super().__init__(problem, hint, line)
        self.problem = problem
        self.hint = hint
        self.line = line

    def __str__(self) -> str:
        parts = [self.problem]
        if self.line:
            parts.append(f"in the line {self.line!r}")
        text = " ".join(parts)
        return f"{text}; {self.hint}" if self.hint else text
