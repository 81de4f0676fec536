"""How the harness' commands end where nothing came of them: one line, an exit code, JSON if asked.

Exit codes: 2 for what was typed, 7 where what was given allows no verdict.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator
from typing import Any, Final

import rich_click as click
from untorn_reports import printable as told

USAGE: Final = 2
NO_VERDICT: Final = 7
_SCHEMA: Final = "untorn/error/1"

printable = functools.partial(told.printable, keep="\n")
"""Escape what a terminal would obey; newlines stay."""


class Ended(click.ClickException):
    """A command that ends early; ``str`` is the one line that says why and what to do."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.__dict__["exit_code"] = code  # click declares it for the class

    def show(self, file: Any = None) -> None:
        """Print the line on stderr, or on ``file``."""
        click.echo(f"untorn: {printable(self.message)}", file=file, err=file is None)


@contextlib.contextmanager
def ends(*errors: type[Exception], code: int, as_json: bool) -> Iterator[None]:
    """Turn these errors into an ending with a code; their names are in the line and the JSON."""
    try:
        yield
    except errors as error:
        name = type(error).__name__
        if as_json:
            emit({"schema": _SCHEMA, "error": name, "message": str(error)})
        raise Ended(f"{name}: {error}", code) from error


def emit(document: Any) -> None:
    """One JSON object on stdout; a path of any bytes becomes escapes."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=True))
