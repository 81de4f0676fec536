"""A program that speaks the protocol and misbehaves on request: the key of ``lookup`` says how."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from untorn_conformance.backend import Miss, MissReason
from untorn_conformance.wire import decode_request, encode_answer

SLEEPER = [sys.executable, "-c", "import signal; signal.pause()"]


def misbehave(how: str) -> str:
    """Do it, or say a word about what was done."""
    detail = ""
    match how:
        case "exit":
            os.write(2, b"about to exit\n")
            os._exit(3)
        case "hang":
            signal.pause()
        case "close-stdout":
            os.close(1)
            signal.pause()
        case "half-line":
            os.write(1, b'{"id": 1, "o')
            os._exit(0)
        case "leave-stdout-open":
            # A grandchild keeps our end of the pipe open after our death.
            subprocess.Popen(SLEEPER)
            os._exit(3)
        case "child":
            detail = str(subprocess.Popen(SLEEPER, stdout=subprocess.DEVNULL).pid)
        case "daemon":
            # Its own session, and a parent that is gone: only the environment still tells whose.
            start = "import os, signal\nif os.fork(): os._exit(0)\nos.setsid()\n"
            start += "print(os.getpid(), flush=True); os.close(1); signal.pause()"
            launcher = subprocess.run(
                [sys.executable, "-c", start], stdout=subprocess.PIPE, check=True, text=True
            )
            detail = launcher.stdout.strip()
    return detail


def main() -> None:
    """Answer each lookup with a miss whose detail is the word."""
    for line in sys.stdin.buffer:
        request = decode_request(line)
        how = str(request.args.get("key", ""))
        kind, _, text = how.partition(":")
        if kind == "say":
            reply = text.encode()
        else:
            miss = Miss(reason=MissReason.ABSENT, detail=misbehave(kind))
            reply = encode_answer(request.id, miss)
        sys.stdout.buffer.write(reply)
        sys.stdout.buffer.flush()
    if "--ignore-eof" in sys.argv:
        signal.pause()


if __name__ == "__main__":
    main()
