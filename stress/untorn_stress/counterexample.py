"""A run that shows a finding, as a file: enough to replay it, and to read it where nothing replays.

Rule 1: equal runs make equal files: no time, no process id, no path of this machine is written.
Rule 2: the token says how to make the run again; the steps and operations say what it did, so that
        a run that has become another one is noticed. Where the two disagree the file is refused.
Rule 3: the initial tree travels in the file, as its owner describes it; a harvested one can then be
        rebuilt where its harvest would be another.
Rule 4: a file is there completely or not at all: it is written aside and renamed.

The form is published as ``schema/counterexample-1.schema.json``.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from untorn_conformance import wire
from untorn_conformance.errors import ProtocolError

from untorn_stress import run_json
from untorn_stress.run import Run
from untorn_stress.run_json import Json
from untorn_stress.token import Token, TokenError

SCHEMA: Final = "untorn/counterexample/1"
BYTES_MAX: Final = 64 * 2**20
"""A file that is larger was not written here."""


class CounterexampleError(Exception):
    """A file is no counterexample that can be used; the message names it and says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MadeWith:
    """The software that made a run: untorn's version, the kernel's release, Python's version."""

    untorn: str
    kernel: str
    python: str

    @classmethod
    def here(cls) -> MadeWith:
        """Describe this process."""
        return cls(
            untorn=_version(),
            kernel=platform.release(),
            python=platform.python_version(),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Counterexample:
    """A run with what it takes to make it again.

    ``tree`` is the description of the initial tree, JSON that only its owner understands. The
    token's choices are the run's, or its first ones where the rest follows by itself.
    """

    token: Token
    run: Run
    tree: Json
    made_with: MadeWith

    def __post_init__(self) -> None:
        for name in ("scenario", "tree", "seed"):
            told, done = getattr(self.token, name), getattr(self.run, name)
            if told != done:
                raise ValueError(f"the token says {name} {told!r} and the run {done!r}")
        if self.run.choices[: len(self.token.choices)] != self.token.choices:
            raise ValueError("the token's schedule is not that of the run")


def write(path: Path, counterexample: Counterexample) -> None:
    """Write the file, replacing what is there; its directory is made. An OSError flies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(aside, "w", encoding="ascii") as file:
            file.write(_laid_out(to_json(counterexample)))
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def read(path: Path) -> Counterexample:
    """Read a file that ``write`` made. Raises CounterexampleError."""
    shown = ascii(str(path))
    try:
        return of_json(_document(path))
    except OSError as error:
        raise CounterexampleError(f"{shown} cannot be read: {error.strerror}") from error
    except ProtocolError as error:
        raise CounterexampleError(f"{shown} is no counterexample: {error}") from error
    except TokenError as error:
        raise CounterexampleError(f"{shown} holds a token that cannot be used: {error}") from error
    except ValueError as error:
        raise CounterexampleError(f"{shown} contradicts itself: {error}") from error


def replay_line(subject: Path | Token) -> str:
    """Return the command that makes the run again, from its file or from its token."""
    word = subject.encode() if isinstance(subject, Token) else str(subject)
    return f"untorn replay {shlex.quote(word) if isinstance(subject, Path) else word}"


def to_json(counterexample: Counterexample) -> dict[str, Json]:
    """Turn a counterexample into the document of its file."""
    token, run = counterexample.token, run_json.to_json(counterexample.run)
    return {
        "schema": SCHEMA,
        "token": token.encode(),
        "backend": {"spec": token.backend, "identity": token.identity},
        "made_with": wire.to_plain(counterexample.made_with),
        "initial_tree": counterexample.tree,
        **run,
    }


def of_json(document: Json) -> Counterexample:
    """Inverse of ``to_json``. Raises ProtocolError, TokenError or ValueError."""
    schema = run_json.fields_of(document, ("schema",))["schema"]
    if schema != SCHEMA:
        raise ProtocolError(f"its schema is {schema!a}, and this untorn reads {SCHEMA!r}")
    fields = run_json.fields_of(document, ("token", "backend", "made_with", "initial_tree"))
    del fields["schema"]
    token = Token.decode(wire.from_plain(str, fields.pop("token"), where="token"))
    backend = wire.from_plain(dict[str, str], fields.pop("backend"), where="backend")
    if backend != {"spec": token.backend, "identity": token.identity}:
        raise ValueError(f"the token is for {token.identity} ({token.backend}), not for {backend}")
    return Counterexample(
        token=token,
        made_with=wire.from_plain(MadeWith, fields.pop("made_with"), where="made_with"),
        tree=fields.pop("initial_tree"),
        run=run_json.of_json(fields),
    )


def _version() -> str:
    try:
        return importlib.metadata.version("untorn")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout
        return "unknown"


def _document(path: Path) -> Json:
    """Parse the file's JSON. Raises OSError or ProtocolError."""
    with open(path, "rb") as file:
        data = file.read(BYTES_MAX + 1)
    if len(data) > BYTES_MAX:
        raise ProtocolError(f"it is larger than {BYTES_MAX} bytes")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"it is not JSON: {error}") from error


def _laid_out(document: Mapping[str, Json]) -> str:
    """Write JSON with one field a line, and of a list one item a line: a step is a line."""
    lines = []
    for name, value in document.items():
        if isinstance(value, list) and value:
            items = ",\n    ".join(_compact(item) for item in value)
            lines.append(f"  {_compact(name)}: [\n    {items}\n  ]")
        else:
            lines.append(f"  {_compact(name)}: {_compact(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _compact(value: Json) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False)
