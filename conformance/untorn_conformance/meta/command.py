"""The `untorn` command in a test: a process of its own, as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_LIMIT_S = 300


def untorn(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run it in ``cwd``. Whatever it is given, it ends without a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "untorn_conformance.cli", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=_LIMIT_S,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done
