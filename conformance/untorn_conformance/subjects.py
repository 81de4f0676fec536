"""A backend's text (``--backend``) as a subject of the laboratory: how its workers are started."""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from untorn_stress.ensemble import Cast
from untorn_stress.laboratory import Subject

from untorn_conformance.backend import Hello
from untorn_conformance.registry import BackendSpec
from untorn_conformance.starting import HELLO_DEADLINE_S, say_hello, start_worker

_NO_BYTECODE: Final = {"PYTHONDONTWRITEBYTECODE": "1"}
"""What the interpreter leaves beside its modules is no doing of the cache's."""


def subject_of(
    spec: BackendSpec, hello: Hello, *, env: Mapping[str, str] | None = None, preload: bool = False
) -> Subject:
    """The subject that a backend is; ``preload`` has late imports done once for all workers."""
    identity = f"{hello.name}@{hello.version}"
    zygote: tuple[str, ...] = ()
    if spec.factory:
        late = ("--preload",) if preload else ()
        zygote = (sys.executable, "-m", "untorn_conformance.zygote", *late, spec.factory)
    cast = Cast(
        name=spec.name,
        identity=identity,
        env={**os.environ, **_our_path(), **_NO_BYTECODE, **(env or {})},
        zygote=zygote,
        argv=() if spec.factory else spec.arguments,
        program_env={**_NO_BYTECODE, **(env or {})},
    )
    return Subject(
        spec=spec.name,
        identity=identity,
        cast=cast,
        capabilities=hello.capabilities,
        limits=hello.limits,
    )


def _our_path() -> dict[str, str]:
    """What is importable here must be importable in the keeper."""
    return {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}


def ask_hello(spec: BackendSpec, base: Path, *, deadline_s: float = HELLO_DEADLINE_S) -> Hello:
    """Start the backend once, ungated, and ask who it is. Raises BackendError."""
    with tempfile.TemporaryDirectory(prefix="untorn-hello-", dir=base) as scratch:
        folder = Path(scratch)
        with start_worker(
            spec, run_token=secrets.token_hex(16), scratch=folder, stderr_path=folder / "stderr"
        ) as worker:
            return say_hello(worker, deadline_s=deadline_s)
