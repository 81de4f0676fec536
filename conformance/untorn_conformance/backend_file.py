"""A backend described in a file: ``--backend file:backend.toml``.

name = "acme-frames"                what hello must say, and so may not be somebody else's
version = "1.4.2"                   the same; left out, any
command = ["node", "adapter.mjs"]   a program that speaks the protocol, or
factory = "acme.adapter:factory"    a Python backend
cwd = "."                           where it runs, from the file's own directory (the default)
homepage = "https://..."            for those who read the file
issues = "https://..."

[env]                               added to its environment
ACME_MODE = "shared"
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn


class UnusableBackendError(ValueError):
    """What was named as a backend is there in part or not at all: no verdict is possible."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BackendFile:
    """What the file says; one of ``command`` and ``factory`` is set, ``directory`` is absolute."""

    command: tuple[str, ...]
    factory: str
    directory: str
    env: Mapping[str, str]
    claims: Mapping[str, str]


_TEXTS: Final = ("name", "version", "factory", "cwd", "homepage", "issues")
_MOST_BYTES: Final = 1 << 20
_NAME: Final = re.compile(r"[^=\0]+")
_KEYS: Final = (*_TEXTS, "command", "env")


def read(path: str) -> BackendFile:
    """Read the file and see that its program is there.

    Raises UnusableBackendError with the path and what to do.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        _refuse(path, "it is no regular file")
    try:
        if os.path.getsize(path) > _MOST_BYTES:
            _refuse(path, f"it has more than {_MOST_BYTES} bytes")
        with open(path, "rb") as file:
            table = tomllib.load(file)
    except OSError as error:
        _refuse(path, f"it cannot be read: {error.strerror}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        _refuse(path, f"it is not TOML: {error}")
    _check(path, table)
    directory = os.path.join(os.path.dirname(os.path.abspath(path)), table.get("cwd", ""))
    directory = os.path.normpath(directory)
    if not os.path.isdir(directory):
        _refuse(path, f"cwd is {table['cwd']!r}, and there is no directory {directory}")
    command = tuple(table.get("command", ()))
    if command:
        _find_program(path, command[0], directory)
    return BackendFile(
        command=command,
        factory=table.get("factory", ""),
        directory=directory,
        env=table.get("env", {}),
        claims={each: table[each] for each in ("name", "version") if each in table},
    )


def _check(path: str, table: Mapping[str, Any]) -> None:
    for key, value in table.items():
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(_KEYS)}"
            _refuse(path, f"unknown key {key!r}; {hint}")
        if key in _TEXTS and not (isinstance(value, str) and value):
            _refuse(path, f"{key} must be a text that is not empty")
    command = table.get("command", [""])
    if not (isinstance(command, list) and command and all(isinstance(w, str) for w in command)):
        _refuse(path, 'command must be a list of words, such as ["node", "adapter.mjs"]')
    env = table.get("env", {})
    if not (isinstance(env, dict) and all(isinstance(value, str) for value in env.values())):
        _refuse(path, "env must be a table of texts")
    if wrong := [name for name in env if not _NAME.fullmatch(name) or "\0" in env[name]]:
        _refuse(path, f"env has {wrong[0]!r}, which no environment can have")
    if any("\0" in word for word in command):
        _refuse(path, "command has a NUL, which no command line can have")
    if "name" not in table:
        _refuse(path, 'it has no name; write the one that hello says, such as name = "acme"')
    if ("command" in table) == ("factory" in table):
        _refuse(path, "it must have either command or factory")


def _find_program(path: str, program: str, directory: str) -> None:
    """See that the program can be started from the directory, before anything waits for it."""
    named = os.path.join(directory, program) if os.sep in program else program
    if shutil.which(named) is not None:
        return
    if os.path.exists(named):
        _refuse(path, f"its program {named} is not executable; chmod +x, or name its interpreter")
    _refuse(path, f"its program {program!r} is not there; looked in {directory} and in PATH")


def _refuse(path: str, problem: str) -> NoReturn:
    raise UnusableBackendError(f"{path}: {problem}")
