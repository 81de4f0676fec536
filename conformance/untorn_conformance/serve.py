"""Hosts a Python backend: ``python -m untorn_conformance.serve MODULE:FACTORY``.

Rule 1: stdout is the protocol's alone. What the backend or its libraries print goes to stderr, and
        what they start inherits neither end of the conversation.
Rule 2: the process ends at the end of its input; an interrupt from the keyboard is the harness'
        affair.
Rule 3: another user (``--uid``) is taken on after all code is loaded, since that user may not be
        able to read the interpreter's own files, and for good. A backend with more to load has
        ``preload()``.
Rule 4: every request gets one answer. A verb that the object lacks is unsupported; an exception
        that nobody foresaw is the error *internal*, with its traceback on stderr.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Sequence
from typing import BinaryIO

from untorn_conformance import wire
from untorn_conformance.errors import BackendError, ErrorCode, ProtocolError


def main(arguments: Sequence[str]) -> int:
    """Host the backend that the arguments name until its input ends; returns the exit code."""
    parser = argparse.ArgumentParser(prog="untorn_conformance.serve", description=__doc__)
    parser.add_argument("factory", metavar="MODULE:FACTORY")
    parser.add_argument("--uid", type=int, help="the user to become once everything is loaded")
    parser.add_argument("--gid", type=int, help="the group to become (default: as --uid)")
    options = parser.parse_args(arguments)
    # A handler and not SIG_IGN: what is ignored stays ignored in the programs that a backend
    # starts.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    requests, answers = claim_standard_streams()
    backend = build(options.factory)
    if options.uid is not None:
        drop_privileges(options.uid, options.uid if options.gid is None else options.gid)
    serve(backend, requests, answers)
    return 0


def claim_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Take stdin and stdout for the protocol and leave harmless ones in their place.

    Descriptor 0 becomes /dev/null, since a decoder that reads its stdin would eat requests, and
    descriptor 1 becomes stderr. The descriptors returned are not inherited.
    """
    sys.stdout.flush()
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return requests, answers


def build(factory: str, *, preload: bool = True) -> object:
    """Import MODULE, call FACTORY and let the backend load the rest of its code."""
    module, _, name = factory.partition(":")
    make = getattr(importlib.import_module(module), name)
    backend: object = make()
    load = getattr(backend, "preload", None) or getattr(make, "preload", None)
    if preload and load is not None:
        load()
    return backend


def drop_privileges(uid: int, gid: int) -> None:
    """Become another user for good, with no supplementary groups, in a directory that it may enter.

    Raises PermissionError when we are not allowed to, RuntimeError when it did not last.
    """
    os.chdir("/")
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid) or os.getgroups():
        raise RuntimeError(f"still {os.getresuid()}, {os.getresgid()}, {os.getgroups()}")


def serve(backend: object, requests: Iterable[bytes], answers: BinaryIO) -> None:
    """Answer each line of ``requests`` with one line, flushed, until there are no more."""
    for line in requests:
        answers.write(answer(backend, line))
        answers.flush()


def answer(backend: object, line: bytes) -> bytes:
    """Answer one line; only what ends a process (such as SystemExit) is raised."""
    try:
        request = wire.decode_request(line)
    except ProtocolError as error:
        # Id 0 is never asked: the harness then says which line was refused, and why.
        return wire.encode_error(0, BackendError(ErrorCode.BAD_REQUEST, str(error)))
    try:
        return wire.encode_answer(request.id, _perform(backend, request))
    except BackendError as error:
        return wire.encode_error(request.id, error)
    except Exception as error:
        traceback.print_exc()
        what = f"{type(error).__name__}: {error}"
        return wire.encode_error(request.id, BackendError(ErrorCode.INTERNAL, what))


def _perform(backend: object, request: wire.Request) -> object:
    method = getattr(backend, request.verb.value, None)
    if method is None:
        message = f"this backend has no {request.verb}"
        raise BackendError(ErrorCode.UNSUPPORTED, message)
    return method(**request.args)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
