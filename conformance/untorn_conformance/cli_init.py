"""`untorn init`: what an adopter keeps beside a cache to have it verified at every change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import rich_click as click

from untorn_conformance.cli_ending import USAGE, Ended, emit, ends, printable

_SCHEMA: Final = "untorn/init/1"
_BACKEND: Final = "backend.toml"
_BASELINE: Final = "untorn-baseline.toml"
_WORKFLOW: Final = ".github/workflows/untorn.yml"

_HELP: Final = """
Write what a repository needs to have its cache verified: three files, in this directory.

\b
  backend.toml                  how your cache is started
  untorn-baseline.toml          known deviations, none yet
  .github/workflows/untorn.yml  verifies at every push, on GitHub

\b
Examples:
  untorn init --backend py:mycache.adapter:factory
  untorn init --backend 'cmd:node adapter.mjs' --name mycache

\b
Exit codes:
  0  written
  2  an argument is not right, a file is there already, or cannot be written
"""

_BACKEND_TOML: Final = """\
# How your cache is started, in this directory: untorn verify --backend file:backend.toml
name = {name}  # as its hello says it
{start}
# version = "1.0"                  # as its hello says it; left out: any
# homepage = "https://..."         # for those who read this file
# issues = "https://..."

# [env]                            # added to its environment
# MODE = "shared"
"""

_BASELINE_TOML: Final = """\
# Known deviations: cases that may fail, each with a reason, an issue and a last day.
# untorn baseline update RUN --issue URL writes them; untorn baseline check FILE looks at them.
schema = "untorn/baseline/1"

# [[deviation]]
# case = "G2.ends_within_the_budget"
# reason = "the budget counts links, not bytes"
# issue = "https://example.org/issues/12"
# until = 2099-12-31

# [[exclude]]
# case = "E2.*"
# reason = "the build machine has no user namespaces"
"""

_WORKFLOW_YML: Final = """\
# Verifies the cache at every push. The job fails where a binding requirement does, where a known
# deviation is over or gone, and where there is no verdict.
name: untorn
on: [push, pull_request]
permissions:
  contents: read
jobs:
  verify:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: pip install 'untorn[verify]'
      # Cases of a full disk make user namespaces of their own.
      - run: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0
      # Without --allow-partial the job passes only once everything is proved; with
      # --require-evidence it fails where something that was tried came to nothing (UNKNOWN).
      - run: >-
          untorn verify --backend file:backend.toml
          --baseline untorn-baseline.toml --allow-partial --require-evidence
      - run: cat untorn-runs/latest/summary.md >> "$GITHUB_STEP_SUMMARY"
        if: always()
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: untorn
          path: untorn-runs/
"""

_START: Final = {
    "py": 'factory = {0}  # or: command = ["./adapter"]',
    "cmd": 'command = [{0}]  # or: factory = "module:factory"',
}


@click.command("init", help=_HELP)
@click.option(
    "--backend", metavar="SPEC", default="cmd:./adapter", show_default=True,
    help="How it is started: py:MODULE:FACTORY or cmd:COMMAND.",
)  # fmt: skip
@click.option("--name", metavar="TEXT", help="What it is called.  [default: this directory's name]")
@click.option("--force", is_flag=True, help="Write over files that are there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def init(*, backend: str, name: str | None, force: bool, as_json: bool) -> int:
    """Write the files."""
    here = Path.cwd()
    files = {
        _BACKEND: _BACKEND_TOML.format(name=_quoted(name or here.name), start=_start(backend)),
        _BASELINE: _BASELINE_TOML,
        _WORKFLOW: _WORKFLOW_YML,
    }
    there = [path for path in files if (here / path).exists()]
    if there and not force:
        raise Ended(f"there already: {', '.join(there)}; --force writes over them", USAGE)
    with ends(OSError, code=USAGE, as_json=as_json):
        _write(here, files)
    if as_json:
        emit({"schema": _SCHEMA, "written": list(files)})
    else:
        click.echo(printable("\n".join([*(f"wrote {path}" for path in files), "", *_NEXT])))
    return 0


_NEXT: Final = (
    "next:",
    "  1. look into backend.toml: is that how your cache is started?",
    "  2. untorn verify --backend file:backend.toml",
    "  3. what it fails and you track: untorn baseline update untorn-runs/latest --issue URL",
    "  4. commit the three files",
)


def _start(backend: str) -> str:
    from untorn_conformance import registry  # noqa: PLC0415

    with ends(ValueError, code=USAGE, as_json=False):
        spec = registry.parse(backend)
    if spec.name in registry.NAMED:
        raise Ended(f"{backend} is no cache of yours; write py:MODULE:FACTORY or cmd:...", USAGE)
    if spec.directory:
        raise Ended(f"{backend} has its backend.toml: it is what this would write", USAGE)
    if spec.factory:
        return _START["py"].format(_quoted(spec.factory))
    return _START["cmd"].format(", ".join(map(_quoted, spec.arguments)))


def _write(here: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _quoted(text: str) -> str:
    from untorn_conformance.baseline_edit import quoted  # noqa: PLC0415

    return quoted(text)
