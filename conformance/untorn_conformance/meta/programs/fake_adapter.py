"""An adapter of the demo cache that misbehaves in one way: ``python fake_adapter.py WAY``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from untorn_conformance.backend import Failed, FailedCode, Inputs, Rendered
from untorn_conformance.errors import BackendError, ErrorCode
from untorn_conformance.meta.demo.directory import DirectoryCache
from untorn_conformance.serve import answer

WAY = sys.argv[1]
HELLOS: dict[str, dict[str, object]] = {
    # Another version may have other fields, too: the version is told first.
    "protocol-2": {"protocol": 2, "features": []},
    "unknown-capability": {"capabilities": ["teleport"]},
    "reserved-capability": {"capabilities": ["durable"]},
    "renders": {"capabilities": ["render"]},
    "renders-not": {"capabilities": ["render"]},
    "renders-all-or-nothing": {"capabilities": ["render"]},
    "renders-too-few": {"capabilities": ["render"]},
}


class RenderingCache(DirectoryCache):
    """It has no decoder, so that every request of a render fails."""

    def render(self, *, requests: Sequence[Inputs]) -> Rendered:
        if WAY == "renders-all-or-nothing" and requests:
            raise BackendError(ErrorCode.BAD_CLIP, "there is no such clip")
        answered = len(requests[:1] if WAY == "renders-too-few" else requests)
        failed = Failed(code=FailedCode.BAD_CLIP, message="there is no such clip")
        return Rendered(items=(failed,) * answered)


def before() -> None:
    """What it does before its first answer."""
    match WAY:
        case "banner":
            os.write(1, b"acme cache 1.0, ready\n")
        case "dies-at-once":
            sys.exit("acme: no licence found")
        case "hangs":
            signal.pause()
        case "closes-stdout":
            os.close(1)
            signal.pause()
        case "leaves-a-child":
            # As a launcher does that starts the adapter itself as a child: SIGKILL misses it.
            subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        case "starts-once":
            with open("started", "a+") as file:
                file.seek(0)
                if file.read():
                    sys.exit("acme: already running")
                file.write("once")
        case "writes-where-it-runs":
            with open(".acme-state", "w") as file:
                file.write("1")
        case "writes-outside":
            with open(os.path.expanduser("~/.acme-state"), "w") as file:
                file.write("1")


def changed(said: dict[str, object]) -> dict[str, object]:
    """What it makes of an answer that would be right."""
    ok: Any = said.get("ok")
    is_hello = isinstance(ok, dict) and ok.get("kind") == "hello"
    if is_hello and WAY in HELLOS:
        return {**said, "ok": {**ok, **HELLOS[WAY]}}
    if WAY == "wrong-ids":
        return {**said, "id": 1}
    if WAY == "unknown-handles" and "error" in said:
        return {**said, "error": {"code": "internal", "message": "odd"}}
    if WAY == "errors-without-id" and "error" in said:
        return {**said, "id": 0}
    if WAY == "invents-bytes" and isinstance(ok, dict) and ok.get("kind") == "frame":
        return {**said, "ok": {**ok, "sha256": "0" * 64}}
    if WAY == "forgets" and isinstance(ok, dict) and ok.get("kind") == "hit":
        return {**said, "ok": {"kind": "miss", "reason": "absent"}}
    return said


def main() -> None:
    before()
    backend = DirectoryCache() if WAY == "renders-not" else RenderingCache()
    answers = os.fdopen(1, "w")  # buffered in blocks, whatever the environment says of stdout
    for line in sys.stdin.buffer:
        said = changed(json.loads(answer(backend, line)))
        print(json.dumps(said), file=answers, flush=WAY != "never-flushes")
    if WAY == "ignores-eof":
        signal.pause()


if __name__ == "__main__":
    main()
