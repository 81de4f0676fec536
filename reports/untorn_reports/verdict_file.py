"""A ``verdict.json`` that somebody hands us: found in a run's directory, and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from untorn_conformance.verdict import SCHEMA

from untorn_reports.view import view_of

NAME: Final = "verdict.json"


class VerdictFileError(Exception):
    """A file is no verdict that can be used; the message names it and says what to do."""


class VerdictSchemaError(VerdictFileError):
    """A verdict was written by another version of untorn."""


def path_of(run: Path) -> Path:
    """The verdict's file: of a run's directory the one in it, else the file itself."""
    return run / NAME if run.is_dir() else run


def read(run: Path) -> dict[str, Any]:
    """Read the verdict of a run's directory, or a file. Raises VerdictFileError."""
    path = path_of(run)
    shown = ascii(str(path))[1:-1]
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        text = f"{shown}: {error.strerror}; name the directory of a run, or its {NAME}"
        raise VerdictFileError(text) from error
    except (ValueError, RecursionError) as error:
        raise VerdictFileError(f"{shown} is not JSON: {error}") from error
    if not isinstance(document, Mapping) or "schema" not in document:
        raise VerdictFileError(f"{shown} is no verdict; name the directory of a run")
    if document["schema"] != SCHEMA:
        text = (
            f"{shown} is of schema {document['schema']!a}, and this untorn reads {SCHEMA}; verify "
            "again with this untorn, or use the one that wrote it"
        )
        raise VerdictSchemaError(text)
    try:
        view_of(document)
    except ValueError as error:
        raise VerdictFileError(f"{shown}: {error}; verify again") from error
    return dict(document)
