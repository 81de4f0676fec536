"""`untorn report` and `untorn compare`: what a person types, checked and handed on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import rich_click as click

from untorn_conformance.cli_ending import NO_VERDICT, USAGE, Ended, emit, ends, printable

_DIFFERENT: Final = 1
_TWO: Final = 2
_SCREENSHOTS: Final = "screenshots"
_REPORT_SCHEMA: Final = "untorn/report/1"
_CANONICAL_SCHEMA: Final = "untorn/canonical/1"

_REPORT_HELP: Final = """
Write the reports of a run, of a storm or of a campaign again, from its files alone.

report.html is a page that needs nothing but itself. Of a run of verify there is more: junit.xml for
CI servers, summary.md for the summary of a CI step.

\b
Examples:
  untorn report untorn-runs/latest
  untorn report untorn-runs/latest --out public
  untorn report nightly --screenshots   # as a desk and a phone show it, light and dark
  cat untorn-runs/latest/summary.md >> "$GITHUB_STEP_SUMMARY"

\b
Exit codes:
  0  written
  2  an argument is not right, or nothing can be written there; no browser for --screenshots
  7  no verdict that can be read, or of another schema version
"""

_COMPARE_HELP: Final = """
Show the verdicts of several runs side by side: requirements down, backends across.

RUN is the directory of a run, or its verdict.json. Storms and campaigns are compared with such:
new findings, throughput, latency, what is unknown. CONDITIONS say when that fails: findings,
unknown, findings>N and unknown>N (more than N that the first did not have); throughput, p50 and p99
with < or > and a ratio of the second to the first.

\b
Examples:
  untorn compare runs/mine runs/theirs
  untorn compare runs/*/ --html matrix.html
  untorn compare --canonical monday tuesday  # equal but for times, paths?
  untorn compare last-night tonight --fail-on "findings,p99>1.5,throughput<0.8"

\b
Exit codes:
  0  compared (with --canonical: they are equal; with --fail-on: no condition holds)
  1  with --canonical: they differ, and where; with --fail-on: a condition holds
  2  an argument is not right
  7  one is no verdict that can be read, or of another schema version; a condition cannot be judged
"""

_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_run_type = click.Path(exists=True, path_type=Path)


@click.command("report", help=_REPORT_HELP)
@click.argument("run", metavar="RUN", type=_run_type)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="Where to write them.  [default: where the verdict is]",
)  # fmt: skip
@click.option(
    "--screenshots", is_flag=True,
    help="Keep pictures of report.html, too: desk and phone, light and dark. Needs a Chromium.",
)  # fmt: skip
@_json_option
def report(*, run: Path, out: Path | None, screenshots: bool, as_json: bool) -> int:
    """Render the reports of a run again."""
    from untorn_reports import browser  # noqa: PLC0415
    from untorn_reports.storms import files  # noqa: PLC0415

    of_storm = files.path_of(run)
    if of_storm is not None:
        target, names = _report_of_storm(of_storm, out, as_json=as_json)
    else:
        target, names = _report_of_verdict(run, out, as_json=as_json)
    written = [str(target / name) for name in names]
    if screenshots:
        with ends(OSError, browser.BrowserError, code=USAGE, as_json=as_json):
            pictures = browser.keep_pictures(target / "report.html", target / _SCREENSHOTS)
            written += map(str, pictures)
    if as_json:
        emit({"schema": _REPORT_SCHEMA, "written": written})
    else:
        click.echo(printable("\n".join(written)))
    return 0


def _report_of_verdict(run: Path, out: Path | None, *, as_json: bool) -> tuple[Path, list[str]]:
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
        return target, directory.write_reports(document, drawings_of(source))


def _report_of_storm(file: Path, out: Path | None, *, as_json: bool) -> tuple[Path, list[str]]:
    from untorn_reports.storms import files, page  # noqa: PLC0415

    from untorn_conformance.drawings import drawing_of  # noqa: PLC0415

    with ends(files.StormFileError, code=NO_VERDICT, as_json=as_json):
        held = files.read(file)
    kept = files.counterexamples(held) if isinstance(held, files.CampaignRun) else {}
    drawings = {name: drawing_of(path, name) for name, path in kept.items()}
    target = (out or file.parent).resolve()
    with ends(OSError, code=USAGE, as_json=as_json):
        page.write(held, target, drawings)
    return target, [page.NAME]


@click.command("compare", help=_COMPARE_HELP)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=_run_type)
@click.option(
    "--html", "page", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write the matrix as a page, too.",
)  # fmt: skip
@click.option(
    "--canonical", is_flag=True, help="Say whether two runs are equal but for times, pids, paths."
)
@click.option(
    "--fail-on", metavar="CONDITIONS",
    help='Of two storms or campaigns: exit 1 if one holds, as in "findings,p99>1.5".',
)  # fmt: skip
@_json_option
def compare(
    *, runs: tuple[Path, ...], page: Path | None, canonical: bool, fail_on: str | None,
    as_json: bool,
) -> int:  # fmt: skip
    """Compare verdicts."""
    from untorn_reports import compare as matrix  # noqa: PLC0415
    from untorn_reports import verdict_file  # noqa: PLC0415
    from untorn_reports.storms import files  # noqa: PLC0415

    of_storms = [each for each in map(files.path_of, runs) if each is not None]
    if of_storms:
        if len(of_storms) < len(runs) or canonical or page:
            raise Ended("storms and campaigns are compared with such, as text or --json", USAGE)
        return _compare_storms(of_storms, fail_on, as_json=as_json)
    if fail_on is not None:
        raise Ended("--fail-on is for storms and campaigns; for verdicts: --canonical", USAGE)
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


def _compare_storms(paths: list[Path], fail_on: str | None, *, as_json: bool) -> int:
    from untorn_reports.storms import comparing, files  # noqa: PLC0415

    if fail_on is not None and len(paths) != _TWO:
        raise Ended("--fail-on takes two runs: what was, and what is", USAGE)
    with ends(comparing.ConditionError, code=USAGE, as_json=as_json):
        conditions = comparing.conditions_of(fail_on) if fail_on is not None else []
    with ends(files.StormFileError, code=NO_VERDICT, as_json=as_json):
        held = [files.read(path) for path in paths]
    runs = [
        comparing.measured(str(path.parent), each) for path, each in zip(paths, held, strict=True)
    ]
    with ends(comparing.UnjudgedError, code=NO_VERDICT, as_json=as_json):
        holdings = comparing.holdings_of(conditions, runs[0], runs[-1])
    if as_json:
        emit(comparing.to_json(runs, holdings))
    else:
        click.echo(comparing.text(runs, holdings), nl=False)
    return _DIFFERENT if any(each.holds for each in holdings) else 0


def _canonical(one: Any, other: Any, *, as_json: bool) -> int:
    from untorn_reports.canonical import canonical, differences  # noqa: PLC0415

    found = list(differences(canonical(one), canonical(other)))
    if as_json:
        emit({"schema": _CANONICAL_SCHEMA, "equal": not found, "differences": found})
    else:
        click.echo(printable("\n".join(found or ["equal, but for times, pids and paths"])))
    return _DIFFERENT if found else 0
