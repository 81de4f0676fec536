"""`untorn verify`: run the suite on a backend and turn its verdict into an exit code.

The suite runs under a pytest of its own, with its own settings and only the plugins it names, so
that nothing in the user's project or environment can change what is collected or how it is judged.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from untorn_reports.run_directory import default_base

from untorn_conformance import baseline
from untorn_conformance.backend_file import UnusableBackendError
from untorn_conformance.errors import BackendError
from untorn_conformance.registry import parse
from untorn_conformance.starting import in_a_line
from untorn_conformance.subjects import ask_hello
from untorn_conformance.verdict import EXIT_CODES, Outcome, VerdictWord, from_json

_PACKAGE = Path(__file__).resolve().parent
SUITE = _PACKAGE / "suite"
_PLUGINS = (
    "xdist.plugin",
    "pytest_timeout",
    "_hypothesis_pytestplugin",
    "untorn_conformance.plugin",
)
_PYTEST_USAGE_ERROR = 4
_USAGE = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What to verify: the backend's SPEC, rows, directories, known deviations, how strictly."""

    backend: str = "reference"
    requirements: Sequence[str] = ()
    directories: Sequence[str] = ()
    baseline: str | None = None
    effort: str | None = None
    run_dir: str | None = None
    workers: str = "auto"
    require_evidence: bool = False
    allow_partial: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """What came of it: the document of verdict.json and where it is, or None if none was made.

    ``problem`` says in a line why the suite was not even started.
    """

    exit_code: int
    problem: str = ""
    document: dict[str, Any] | None = None
    run_path: Path | None = None


def verify(wanted: Wanted, *, quiet_stdout: bool) -> Verified:
    """Run the suite; its output goes to our stdout, or to stderr if that is kept for JSON.

    Raises BaselineError, before anything is run, for a baseline that is not in order.
    """
    if wanted.baseline is not None:
        baseline.read(Path(wanted.baseline), today=baseline.today_utc())
    if problem := why_not(wanted.backend):
        return Verified(exit_code=EXIT_CODES[VerdictWord.INVALID], problem=problem)
    with tempfile.TemporaryDirectory(prefix="untorn-verify-") as scratch:
        record = Path(scratch) / "run"
        command = _command(wanted, record, Path(scratch))
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr if quiet_stdout else None,
            env=suite_environment(),
            check=False,
        )
        if done.returncode == _PYTEST_USAGE_ERROR:
            return Verified(exit_code=_USAGE)
        if not record.exists():
            return Verified(exit_code=EXIT_CODES[VerdictWord.INVALID])
        run_path = Path(os.fsdecode(record.read_bytes()))
    document = json.loads((run_path / "verdict.json").read_text(encoding="utf-8"))
    return Verified(exit_code=exit_code(document, wanted), document=document, run_path=run_path)


def suite_environment() -> dict[str, str]:
    """The environment of that command: nothing in it adds plugins or options."""
    return {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}


def why_not(backend: str) -> str:
    """Say in one line why no verdict on this backend is possible; "" where one may be.

    A text that names none is left to the suite's own options, which say what is allowed.
    """
    try:
        spec = parse(backend)
    except UnusableBackendError as error:
        return str(error)
    except ValueError:
        return ""
    try:
        ask_hello(spec, Path(tempfile.gettempdir()))
    except UnusableBackendError as error:
        return str(error)
    except BackendError as error:
        return f"{backend}: {in_a_line(error.message)}; see untorn doctor --backend"
    return ""


def exit_code(document: dict[str, Any], wanted: Wanted) -> int:
    """The exit code of a verdict: 0, 6, 1 or 7; a partial one may be allowed.

    With `require_evidence` an UNKNOWN keeps a partial verdict from being allowed.
    """
    verdict = from_json(document)
    word = verdict.word
    unknown = any(case.outcome is Outcome.UNKNOWN for case in verdict.cases)
    if word is VerdictWord.PARTIAL and wanted.allow_partial:
        return EXIT_CODES[word] if unknown and wanted.require_evidence else 0
    return EXIT_CODES[word]


def _options(wanted: Wanted) -> list[str]:
    """The options that `untorn verify` and pytest share."""
    options = ["--backend", wanted.backend]
    for row in wanted.requirements:
        options += ["--req", row]
    for directory in wanted.directories:
        options += ["--dir", directory]
    if wanted.baseline is not None:
        options += ["--baseline", wanted.baseline]
    if wanted.effort is not None:
        options += ["--effort", wanted.effort]
    if wanted.require_evidence:
        options.append("--require-evidence")
    return options


def _command(wanted: Wanted, record: Path, scratch: Path) -> list[str]:
    base = wanted.run_dir or str(default_base(Path.cwd()))
    options = [*_options(wanted), "--run-dir", base, "--run-record", str(record)]
    options += ["--run-command", shlex.join(["untorn", "verify", *_options(wanted)])]
    return suite_command("-n", wanted.workers, *options, scratch=scratch)


def suite_command(*options: str, scratch: Path) -> list[str]:
    """The command that runs the suite under a pytest that no project of the user's reaches."""
    plugins = [part for name in _PLUGINS for part in ("-p", name)]
    return [
        *(sys.executable, "-m", "pytest", "-c", str(_PACKAGE / "verify.ini")),
        *("--rootdir", str(SUITE), "-o", f"cache_dir={scratch / 'cache'}"),
        *(*plugins, *options, str(SUITE)),
    ]
