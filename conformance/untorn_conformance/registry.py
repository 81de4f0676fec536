"""Which program is under test: reads the text that ``--backend`` takes.

    reference             the cache that this project ships
    py:MODULE:FACTORY     a Python backend; FACTORY() returns an object with the verbs as methods
    cmd:COMMAND ARGS...   any program that speaks the protocol, quoted as in a shell

Python backends are hosted by ``untorn_conformance.serve`` in a process of their own, like all
others: what is killed, stopped and robbed of its files must not be the judge.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

NAMED: Final[Mapping[str, str]] = MappingProxyType(
    {"reference": "untorn_conformance.backends.reference:factory"}
)
"""Backends that have a short name, and where their factory is."""

_ALLOWED: Final = "allowed are reference, py:MODULE:FACTORY and cmd:COMMAND"
_FACTORY: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


@dataclass(frozen=True, kw_only=True, slots=True)
class BackendSpec:
    """A program to start. ``name`` is the text it was given as.

    Either ``factory`` (MODULE:FACTORY, hosted by us) or ``arguments`` (a foreign program) is set.
    """

    name: str
    factory: str = ""
    arguments: tuple[str, ...] = ()

    @property
    def drops_privileges_itself(self) -> bool:
        """Whether the program changes to another user by itself, after it has loaded its code."""
        return bool(self.factory)

    def command(self, uid: int | None = None, gid: int | None = None) -> list[str]:
        """Return the command line; for a hosted backend it drops to ``uid`` and ``gid`` when given.

        A foreign program knows no such option: whoever starts it must start it as that user.
        """
        if not self.factory:
            return list(self.arguments)
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
            return {}
        return {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}


def parse(spec: str) -> BackendSpec:
    """Read the text of ``--backend``. Raises ValueError, saying what is allowed."""
    kind, _, rest = spec.partition(":")
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
    raise ValueError(f"there is no backend {spec!r}; {_ALLOWED}")
