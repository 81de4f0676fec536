"""A storm's run directory, while it goes on: nothing found is lost, whatever becomes of us.

    findings.jsonl         one line a finding, on disk before the storm goes on
    rounds/NNNN.jsonl      the histories of rounds with findings, and of no others
    progress.json          what there is so far, replaced at once
    storm.json             the summary, at the end

Rule 1: a disk that takes no more takes no finding: what could not be written is kept in memory, and
        ``trouble`` says so.
Rule 2: of many findings of one kind the first are kept with their histories, all are counted.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from untorn_stress.storm.judging import StormFinding

MOST_KEPT: Final = 100
"""Findings of one kind (a checker, its rows) that are kept in full; the others are counted."""

MOST_HISTORIES: Final = 50
_MOST_BYTES: Final = 256 * 1024 * 1024
"""What all kept histories may weigh together."""


@dataclass(slots=True)
class StormLedger:
    """What was found. ``out`` is the run directory, ``replay`` the line that repeats the storm."""

    out: Path
    replay: str
    began_ns: int
    findings: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    trouble: str = ""
    _kinds: Counter[tuple[str, tuple[str, ...]]] = field(default_factory=Counter)
    _histories: int = 0
    _bytes: int = 0

    def keep(
        self, found: Sequence[StormFinding], number: int, lines: Callable[[], Sequence[str]]
    ) -> None:
        """Keep a round's findings, and its history with them."""
        if not found:
            return
        path = self._keep_history(number, lines)
        for each in found:
            self.counts[each.checker] += 1
            kind = each.checker, each.requirements
            self._kinds[kind] += 1
            if self._kinds[kind] > MOST_KEPT:
                continue
            document = {
                "checker": each.checker,
                "requirements": list(each.requirements),
                "message": each.message,
                "round": number,
                "operations": list(each.operations),
                "history": path,
                "at_s": round(max(each.at_ns - self.began_ns, 0) / 1e9, 3),
                "replay": self.replay,
            }
            self.findings.append(document)
            self._append(json.dumps(document) + "\n")

    def _keep_history(self, number: int, lines: Callable[[], Sequence[str]]) -> str:
        if self._histories >= MOST_HISTORIES or self._bytes >= _MOST_BYTES:
            return ""
        name = f"rounds/{number:04d}.jsonl"
        text = "".join(lines())
        try:
            (self.out / "rounds").mkdir(exist_ok=True)
            write_at_once(self.out / name, text)
        except OSError as error:
            self._fail(name, error)
            return ""
        self._histories += 1
        self._bytes += len(text)
        return name

    def _append(self, line: str) -> None:
        path = self.out / "findings.jsonl"
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self._fail(path.name, error)

    def progress(self, document: dict[str, Any]) -> None:
        """Say how far it is."""
        self.write("progress.json", document)

    def write(self, name: str, document: dict[str, Any]) -> bool:
        """Write a document at once; whether it could be written."""
        try:
            write_at_once(self.out / name, json.dumps(document, indent=2) + "\n")
        except OSError as error:
            self._fail(name, error)
            return False
        return True

    def _fail(self, name: str, error: OSError) -> None:
        if not self.trouble:
            self.trouble = f"{self.out / name} cannot be written: {error.strerror or error}"


def write_at_once(path: Path, text: str) -> None:
    """Replace a file by one that is on disk; the old one stays where that fails. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
