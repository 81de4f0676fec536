"""An adapter of the demo cache that misbehaves in one way: ``python fake_adapter.py WAY``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

from untorn_conformance.meta.demo.directory import DirectoryCache
from untorn_conformance.serve import answer

WAY = sys.argv[1]


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
        case "writes-outside":
            with open(os.path.expanduser("~/.acme-state"), "w") as file:
                file.write("1")


def changed(said: dict[str, object]) -> dict[str, object]:
    """What it makes of an answer that would be right."""
    ok: Any = said.get("ok")
    is_hello = isinstance(ok, dict) and ok.get("kind") == "hello"
    if is_hello and WAY == "protocol-2":
        # Another version may have other fields, too: the version is told first.
        return {**said, "ok": {**ok, "protocol": 2, "features": []}}
    if is_hello and WAY == "unknown-capability":
        return {**said, "ok": {**ok, "capabilities": ["teleport"]}}
    if is_hello and WAY == "reserved-capability":
        return {**said, "ok": {**ok, "capabilities": ["durable"]}}
    if WAY == "wrong-ids":
        return {**said, "id": 1}
    if WAY == "unknown-handles" and "error" in said:
        return {**said, "error": {"code": "internal", "message": "odd"}}
    if WAY == "errors-without-id" and "error" in said:
        return {**said, "id": 0}
    if WAY == "forgets" and isinstance(ok, dict) and ok.get("kind") == "hit":
        return {**said, "ok": {"kind": "miss", "reason": "absent"}}
    return said


def main() -> None:
    before()
    backend = DirectoryCache()
    answers = os.fdopen(1, "w")  # buffered in blocks, whatever the environment says of stdout
    for line in sys.stdin.buffer:
        said = changed(json.loads(answer(backend, line)))
        print(json.dumps(said), file=answers, flush=WAY != "never-flushes")
    if WAY == "ignores-eof":
        signal.pause()


if __name__ == "__main__":
    main()
