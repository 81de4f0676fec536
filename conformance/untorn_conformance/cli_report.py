"""`untorn report` and `untorn compare`: what a person types, checked and handed on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import rich_click as click

from untorn_conformance.cli_ending import NO_VERDICT, USAGE, Ended, emit, ends, printable

_DIFFERENT: Final = 1
_TWO: Final = 2
_REPORT_SCHEMA: Final = "untorn/report/1"
_CANONICAL_SCHEMA: Final = "untorn/canonical/1"

_REPORT_HELP: Final = """
Write the reports of a run again, from its verdict.json and its counterexamples alone.

report.html is a page that needs nothing but itself, junit.xml is for CI servers, summary.md for
the summary of a CI step.

\b
Examples:
  untorn report untorn-runs/latest
  untorn report untorn-runs/latest --out public
  cat untorn-runs/latest/summary.md >> "$GITHUB_STEP_SUMMARY"

\b
Exit codes:
  0  written
  2  an argument is not right, or nothing can be written there
  7  no verdict that can be read, or of another schema version
"""

_COMPARE_HELP: Final = """
Show the verdicts of several runs side by side: requirements down, backends across.

RUN is the directory of a run, or its verdict.json.

\b
Examples:
  untorn compare runs/mine runs/theirs
  untorn compare runs/*/ --html matrix.html
  untorn compare --canonical monday tuesday  # equal but for times, paths?

\b
Exit codes:
  0  compared (with --canonical: they are equal)
  1  with --canonical: they differ, and where
  2  an argument is not right
  7  one is no verdict that can be read, or of another schema version
"""

_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_run_type = click.Path(exists=True, path_type=Path)


@click.command("report", help=_REPORT_HELP)
@click.argument("run", metavar="RUN", type=_run_type)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="Where to write them.  [default: where the verdict is]",
)  # fmt: skip
@_json_option
def report(*, run: Path, out: Path | None, as_json: bool) -> int:
    """Render the reports of a run again."""
    from untorn_reports import verdict_file  # noqa: PLC0415
    from untorn_reports.run_directory import RunDirectory  # noqa: PLC0415

    from untorn_conformance.drawings import drawings_of  # noqa: PLC0415

    with ends(verdict_file.VerdictFileError, code=NO_VERDICT, as_json=as_json):
        document = verdict_file.read(run)
    source = verdict_file.path_of(run).resolve().parent
    target = (out or source).resolve()
    with ends(OSError, code=USAGE, as_json=as_json):
        target.mkdir(parents=True, exist_ok=True)
        directory = RunDirectory(base=target.parent, id=target.name)
        names = directory.write_reports(document, drawings_of(source))
    written = [str(target / name) for name in names]
    if as_json:
        emit({"schema": _REPORT_SCHEMA, "written": written})
    else:
        click.echo(printable("\n".join(written)))
    return 0


@click.command("compare", help=_COMPARE_HELP)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=_run_type)
@click.option(
    "--html", "page", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write the matrix as a page, too.",
)  # fmt: skip
@click.option(
    "--canonical", is_flag=True, help="Say whether two runs are equal but for times, pids, paths."
)
@_json_option
def compare(*, runs: tuple[Path, ...], page: Path | None, canonical: bool, as_json: bool) -> int:
    """Compare verdicts."""
    from untorn_reports import compare as matrix  # noqa: PLC0415
    from untorn_reports import verdict_file  # noqa: PLC0415

    if canonical and (len(runs) != _TWO or page):
        raise Ended("--canonical takes two runs, and makes no page", USAGE)
    with ends(verdict_file.VerdictFileError, code=NO_VERDICT, as_json=as_json):
        documents = [verdict_file.read(run) for run in runs]
    if canonical:
        return _canonical(*documents, as_json=as_json)
    comparison = matrix.compare(list(zip(map(str, runs), documents, strict=True)))
    if page is not None:
        with ends(OSError, code=USAGE, as_json=as_json):
            page.write_text(matrix.render(comparison), encoding="utf-8")
    if as_json:
        emit(matrix.to_json(comparison))
    else:
        click.echo(matrix.text(comparison), nl=False)
    return 0


def _canonical(one: Any, other: Any, *, as_json: bool) -> int:
    from untorn_reports.canonical import canonical, differences  # noqa: PLC0415

    found = list(differences(canonical(one), canonical(other)))
    if as_json:
        emit({"schema": _CANONICAL_SCHEMA, "equal": not found, "differences": found})
    else:
        click.echo(printable("\n".join(found or ["equal, but for times, pids and paths"])))
    return _DIFFERENT if found else 0
