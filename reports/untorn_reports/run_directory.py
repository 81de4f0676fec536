"""Where a run's results land: one directory a run, and ``latest`` for the one finished last."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from untorn_reports import junit, markdown
from untorn_reports.drawing import Drawing
from untorn_reports.render import render

LATEST: Final = "latest"
_NAME_CHARACTERS: Final = 40


def default_base(current: Path) -> Path:
    """Choose where runs land: ``reports/runs`` in an untorn checkout, else ``untorn-runs``."""
    if (current / "reports" / "untorn_reports").is_dir():
        return current / "reports" / "runs"
    return current / "untorn-runs"


def rendered(document: Mapping[str, Any], drawings: Sequence[Drawing] = ()) -> dict[str, str]:
    """Render every report of a verdict: file name and text. Raises ValueError."""
    return {
        "report.html": render(document, drawings),
        "junit.xml": junit.render(document),
        "summary.md": markdown.render(document, drawings),
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class RunDirectory:
    """One run's own directory below a base that runs share."""

    base: Path
    id: str

    @property
    def path(self) -> Path:
        """The directory itself; a run may put further artefacts here."""
        return self.base / self.id

    @classmethod
    def create(cls, base: Path, backend: str) -> RunDirectory:
        """Make the directory of a new run, named by UTC time, backend and a random part.

        No two runs get the same one, however many are created at once: mkdir decides.
        """
        base.mkdir(parents=True, exist_ok=True)
        while True:
            run = cls(base=base, id=_new_id(backend))
            try:
                run.path.mkdir()
            except FileExistsError:
                continue  # another run drew the same random part in the same second
            return run

    def write(self, document: Mapping[str, Any], drawings: Sequence[Drawing] = ()) -> None:
        """Write verdict.json, env.json and the reports, each at once, then move ``latest`` here.

        ``env.json`` is the verdict's provenance by itself, ``drawings`` are the counterexamples.
        Raises ValueError for a document that is no verdict, before anything is written, and
        OSError.
        """
        reports = rendered(document, drawings)
        self._put("verdict.json", _json(document))
        self._put("env.json", _json(document["provenance"]))
        self._put_all(reports)
        self._move_latest()

    def write_reports(
        self, document: Mapping[str, Any], drawings: Sequence[Drawing] = ()
    ) -> list[str]:
        """Write the reports of an older run again; returns their names. Raises as ``write``."""
        return self._put_all(rendered(document, drawings))

    def _put_all(self, reports: Mapping[str, str]) -> list[str]:
        for name, text in reports.items():
            self._put(name, text.encode("utf-8"))
        return list(reports)

    def _put(self, name: str, content: bytes) -> None:
        """Replace a file at once, so that a reader of a live run never sees half of it."""
        temporary = self.path / f".{name}.{secrets.token_hex(4)}"
        temporary.write_bytes(content)
        temporary.replace(self.path / name)

    def _move_latest(self) -> None:
        """Rename a new symlink over the old one, so that ``latest`` is never absent."""
        temporary = self.base / f".{LATEST}.{self.id}"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(self.id, target_is_directory=True)
        os.replace(temporary, self.base / LATEST)


def _new_id(backend: str) -> str:
    now = datetime.now(UTC)
    plain = re.sub(r"[^a-z0-9]+", "-", backend.lower()).strip("-")[:_NAME_CHARACTERS]
    return f"{now:%Y%m%dT%H%M%SZ}-{plain or 'backend'}-{secrets.token_hex(3)}"


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2, allow_nan=False).encode("ascii") + b"\n"
