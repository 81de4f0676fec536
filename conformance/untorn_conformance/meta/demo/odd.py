"""A backend whose ``lookup`` does what the key says, to see what becomes of it outside."""

from __future__ import annotations

import os
import subprocess
import sys

from untorn_conformance.backend import Miss, MissReason
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.meta.demo.directory import DirectoryCache


class OddCache(DirectoryCache):
    """Has no verb ``stats``, and answers each lookup with a word on what it did."""

    stats = None  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self._preloaded_as: int | None = None

    def preload(self) -> None:
        """Note who loads the rest of the code."""
        self._preloaded_as = os.getuid()

    def lookup(self, *, key: str) -> Miss:
        return Miss(reason=MissReason.ABSENT, detail=self._do(key))

    def _do(self, key: str) -> str:
        match key:
            case "print":
                print("a stray line")  # noqa: T201 (this is the misbehaviour)
                sys.stdout.flush()
                os.write(1, b"another\n")
            case "refuse":
                raise BackendError(ErrorCode.INVALID_KEY, "not this key", False)
            case "raise":
                raise RuntimeError("nobody foresaw this")
            case "read-stdin":
                return _output("/bin/cat")
            case "child-descriptors":
                return " ".join(_output("/bin/ls", "/proc/self/fd").split())
            case "child-interrupt":
                return _output("/bin/grep", "SigIgn", "/proc/self/status").split()[1]
            case "who":
                ids = f"{os.getresuid()} {os.getresgid()} {os.getgroups()}"
                return f"{ids} preloaded {self._preloaded_as} {os.getcwd()}"
            case "regain":
                os.setuid(0)
        return ""


def _output(*command: str) -> str:
    """Run a program that gets every descriptor which we let it inherit."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, close_fds=False, text=True) as program:
        assert program.stdout is not None
        return program.stdout.read()
