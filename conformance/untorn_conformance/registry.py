"""Which program is under test: reads the text that ``--backend`` takes.

    reference             the cache that this project ships
    py:MODULE:FACTORY     a Python backend; FACTORY() returns an object with the verbs as methods
    cmd:COMMAND ARGS...   any program that speaks the protocol, quoted as in a shell
    file:BACKEND.toml     either of the last two, described in a file (see ``backend_file``)
    NAME                  a factory that an installed package names in the group untorn.backends

Python backends are hosted by ``untorn_conformance.serve`` in a process of their own, like all
others: what is killed, stopped and robbed of its files must not be the judge.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from types import MappingProxyType
from typing import Final

from untorn_conformance import backend_file
from untorn_conformance.backend_file import UnusableBackendError

NAMED: Final[Mapping[str, str]] = MappingProxyType(
    {"reference": "untorn_conformance.backends.reference:factory"}
)
"""Backends that have a short name, and where their factory is."""

GROUP: Final = "untorn.backends"
"""The group of entry points in which a package names its backends: NAME = "module:factory"."""

_ALLOWED: Final = (
    "allowed are reference, py:MODULE:FACTORY, cmd:COMMAND, file:BACKEND.toml "
    f"and names of the entry points {GROUP}"
)
_IN_DIRECTORY: Final = ("/bin/sh", "-c", 'cd -- "$0" && exec "$@"')
"""Runs a program in a directory: both the keeper of the gate and we start it with this line."""

_FACTORY: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


@dataclass(frozen=True, kw_only=True, slots=True)
class BackendSpec:
    """A program to start. ``name`` is the text it was given as.

    Either ``factory`` (MODULE:FACTORY, hosted by us) or ``arguments`` (a foreign program) is set.
    ``directory`` is where a program runs and a factory is imported from, "" for wherever we are;
    ``env`` is added to its environment. ``claims`` are the name and version that it must say hello
    with, where its file has them.
    """

    name: str
    factory: str = ""
    arguments: tuple[str, ...] = ()
    directory: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    claims: Mapping[str, str] = field(default_factory=dict)

    @property
    def drops_privileges_itself(self) -> bool:
        """Whether the program changes to another user by itself, after it has loaded its code."""
        return bool(self.factory)

    def command(self, uid: int | None = None, gid: int | None = None) -> list[str]:
        """Return the command line; for a hosted backend it drops to ``uid`` and ``gid`` when given.

        A foreign program knows no such option: whoever starts it must start it as that user.
        """
        if not self.factory:
            where = [*_IN_DIRECTORY, self.directory] if self.directory else []
            return [*where, *self.arguments]
        command = [sys.executable, "-m", "untorn_conformance.serve", self.factory]
        if uid is not None:
            command += ["--uid", str(uid)]
        if gid is not None:
            command += ["--gid", str(gid)]
        return command

    def environment(self) -> dict[str, str]:
        """Return the variables that the program needs besides the user's own.

        A hosted backend is importable in the worker if it is importable here.
        """
        if not self.factory:
            return dict(self.env)
        paths = [entry for entry in (self.directory, *sys.path) if entry]
        return {"PYTHONPATH": os.pathsep.join(paths), **self.env}


def parse(spec: str) -> BackendSpec:
    """Read the text of ``--backend``.

    Raises ValueError, saying what is allowed; UnusableBackendError where the text is right and what
    it names is not.
    """
    kind, _, rest = spec.partition(":")
    if kind == "file":
        return _described(spec, rest)
    if spec in NAMED:
        return BackendSpec(name=spec, factory=NAMED[spec])
    if kind == "py":
        if not _FACTORY.fullmatch(rest):
            raise ValueError(f"backend {spec!r} names no factory; write py:MODULE:FACTORY")
        return BackendSpec(name=spec, factory=rest)
    if kind == "cmd":
        try:
            arguments = tuple(shlex.split(rest))
        except ValueError as error:
            raise ValueError(f"backend {spec!r} is not quoted as in a shell: {error}") from error
        if not arguments:
            raise ValueError(f"backend {spec!r} names no program; write cmd:COMMAND")
        return BackendSpec(name=spec, arguments=arguments)
    return _installed(spec)


def _described(spec: str, path: str) -> BackendSpec:
    described = backend_file.read(path)
    if described.factory and not _FACTORY.fullmatch(described.factory):
        message = f"{path}: factory {described.factory!r} is not MODULE:FACTORY"
        raise UnusableBackendError(message)
    return BackendSpec(
        name=spec,
        factory=described.factory,
        arguments=described.command,
        directory=described.directory,
        env=described.env,
        claims=described.claims,
    )


def _installed(spec: str) -> BackendSpec:
    found = sorted({each.value for each in metadata.entry_points(group=GROUP, name=spec)})
    if not found:
        raise ValueError(f"there is no backend {spec!r}; {_ALLOWED}")
    if len(found) > 1:
        message = f"backend {spec!r} is named by several packages: {', '.join(found)}"
        raise UnusableBackendError(f"{message}; write py:MODULE:FACTORY for the one that you mean")
    if not _FACTORY.fullmatch(found[0]):
        message = f"entry point {spec!r} of {GROUP} is {found[0]!r}, not MODULE:FACTORY"
        raise UnusableBackendError(message)
    return BackendSpec(name=spec, factory=found[0])
