"""A backend's text (``--backend``) as a subject of the laboratory: how its workers are started."""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from untorn_stress.ensemble import Cast
from untorn_stress.grain import Grain
from untorn_stress.laboratory import Laboratory, Patience, Subject
from untorn_stress.scenario import Scenario
from untorn_stress.spawning import Spawn, anew

from untorn_conformance.backend import Hello
from untorn_conformance.contract import Capability
from untorn_conformance.registry import BackendSpec, parse
from untorn_conformance.starting import HELLO_DEADLINE_S, identify, start_worker

_NO_BYTECODE: Final = {"PYTHONDONTWRITEBYTECODE": "1"}
"""What the interpreter leaves beside its modules is no doing of the cache's."""


CLIP: Final = "sdr"
"""The recipe of the clip that workers extract, wherever a scenario has them do so.

A token does not name its clip: it is this one, in the suite, too.
"""


def clip_of(scenario: Scenario) -> str:
    """The path of the clip that the scenario's workers extract; empty where they extract none.

    Raises FixtureError when it cannot be made.
    """
    if Capability.EXTRACT not in scenario.needs:
        return ""
    from untorn_fixtures import clips  # noqa: PLC0415 (few need it, and none should wait for it)

    return str(clips.settled(CLIP))


def subject_of(
    spec: BackendSpec,
    hello: Hello,
    *,
    env: Mapping[str, str] | None = None,
    preload: bool = False,
    spawn: Spawn = anew,
) -> Subject:
    """The subject that a backend is; ``preload`` has late imports done once for all workers.

    ``spawn`` starts the process that workers are forked from.
    """
    identity = f"{hello.name}@{hello.version}"
    zygote: tuple[str, ...] = ()
    if spec.factory:
        late = ("--preload",) if preload else ()
        zygote = (sys.executable, "-m", "untorn_conformance.zygote", *late, spec.factory)
    cast = Cast(
        name=spec.name,
        identity=identity,
        env={**os.environ, **_our_path(), **spec.environment(), **_NO_BYTECODE, **(env or {})},
        zygote=zygote,
        argv=() if spec.factory else tuple(spec.command()),
        program_env={**spec.environment(), **_NO_BYTECODE, **(env or {})},
        spawn=spawn,
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
            return identify(spec, worker, deadline_s=deadline_s)


@contextmanager
def laboratory(
    backend: str, *, seed: int, grain: str, patience: Patience, clip: str = ""
) -> Iterator[Laboratory]:
    """The backend of that text under the gate, to extract ``clip`` where programs do.

    Raises ValueError for a text that is none, BackendError for a backend that does not say hello.
    """
    spec = parse(backend)
    base = Path(tempfile.gettempdir())
    hello = ask_hello(spec, base, deadline_s=patience.step_deadline_s)
    with Laboratory(
        subject_of(spec, hello, preload=bool(clip)),
        base=base,
        seed=seed,
        grain=Grain(grain),
        clip=clip,
        patience=patience,
    ) as made:
        yield made
