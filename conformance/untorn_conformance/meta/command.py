"""The `untorn` command in a test: a process of its own, as a user starts it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from untorn_conformance.meta import forked

_LIMIT_S = 300
_NO_VERDICT = 7


def untorn(*arguments: object, cwd: Path, fresh: bool = False) -> forked.Ended:
    """Run it in ``cwd``. Whatever it is given, it ends without a traceback.

    ``fresh`` has it start as a user's does, in an interpreter that has loaded nothing yet.
    """
    done = forked.run(
        "untorn_conformance.cli",
        *map(str, arguments),
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        limit_s=_LIMIT_S,
        fresh=fresh,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def assert_refused_by_name(command: str, file: Path, error: str, says: str) -> None:
    """The file, alone in its directory, allows no verdict: one line says why, and what to do."""
    done = untorn(command, file.parent, "--json", cwd=file.parent)
    assert done.returncode == _NO_VERDICT
    assert json.loads(done.stdout)["error"] == error
    assert done.stderr.startswith(f"untorn: {error}: ")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(file.parent.iterdir()) == [file]
