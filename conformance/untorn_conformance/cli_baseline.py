"""`untorn baseline update` and `check`: what a person types, checked and handed on."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import rich_click as click

from untorn_conformance.cli_ending import NO_VERDICT, USAGE, Ended, emit, ends, printable

if TYPE_CHECKING:
    from untorn_conformance.baseline import Baseline, Problem
    from untorn_conformance.baseline_edit import Merged

DEFAULT_FILE: Final = "untorn-baseline.toml"
_DAYS: Final = 90
_UPDATE_SCHEMA: Final = "untorn/baseline-update/1"
_CHECK_SCHEMA: Final = "untorn/baseline-check/1"

_GROUP_HELP: Final = """
Known deviations: cases that a cache is known to fail, each with a reason, an issue and a last day.

They still run. A known failure is a DEVIATION, never a pass, and the verdict is at most partial.

\b
Example:
  untorn verify --backend py:mycache.adapter:factory
  untorn baseline update untorn-runs/latest --issue '#12'
  untorn verify --backend ... --baseline untorn-baseline.toml
"""

_UPDATE_HELP: Final = """
Write what runs have seen fail into a baseline file, and take out what passes now.

RUN is the directory of a run, or its verdict.json. Of several runs of one backend a case that
passed in one and failed in another is entered as failing now and then. What people wrote in the
file, comments too, stays as it is.

\b
Examples:
  untorn baseline update untorn-runs/latest --issue '#12'
  untorn baseline update night1 night2 --case 'G2.*' --issue '#12'
  untorn baseline update untorn-runs/latest  # takes out what passes now

\b
Exit codes:
  0  the file is up to date
  2  an argument is not right, or new failures came without --issue
  7  the file or a verdict cannot be used
"""

_CHECK_HELP: Final = """
Say whether a baseline file is in order: well formed, not expired, about cases that there are.

With RUN, the directory of a run or its verdict.json, also whether an entry is stale: its case
passed in that run.

\b
Examples:
  untorn baseline check untorn-baseline.toml
  untorn baseline check untorn-baseline.toml untorn-runs/latest

\b
Exit codes:
  0  in order
  2  an argument is not right
  7  a run with this file gives no verdict; each problem is a line that says what to do
"""

_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group("baseline", help=_GROUP_HELP)
def baseline() -> None:
    """Known deviations."""


@baseline.command("update", help=_UPDATE_HELP)
@click.argument(
    "runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)
@click.option(
    "--file", "path", metavar="FILE", default=DEFAULT_FILE, show_default=True,
    type=click.Path(dir_okay=False, path_type=Path), help="The baseline; made if there is none.",
)  # fmt: skip
@click.option("--issue", metavar="TEXT", default="", help="Where new failures are tracked.")
@click.option("--reason", metavar="TEXT", help="Why they fail.  [default: what was seen]")
@click.option(
    "--until", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD",
    help=f"Their last day.  [default: in {_DAYS} days]",
)  # fmt: skip
@click.option("--case", "cases", multiple=True, metavar="GLOB", help="Only these; repeatable.")
@_json_option
def update_command(
    *,
    runs: tuple[Path, ...],
    path: Path,
    issue: str,
    reason: str | None,
    until: datetime | None,
    cases: tuple[str, ...],
    as_json: bool,
) -> int:
    """Bring a baseline up to date."""
    from untorn_reports.verdict_file import VerdictFileError  # noqa: PLC0415

    from untorn_conformance.baseline import Baseline, BaselineError, read, today_utc  # noqa: PLC0415
    from untorn_conformance.baseline_edit import UneditableError, edited, merge  # noqa: PLC0415

    errors = (VerdictFileError, BaselineError, UneditableError)
    with ends(*errors, code=NO_VERDICT, as_json=as_json):
        known = read(path, today=None) if path.exists() else Baseline(name=str(path))
        merged = merge(
            known,
            _sights(runs, cases),
            issue=issue,
            until=until.date() if until else today_utc() + timedelta(days=_DAYS),
            reason=reason,
        )
        _need_issue(merged, issue)
        if merged:
            text = path.read_text(encoding="utf-8") if path.exists() else ""
            _put(path, edited(text, merged, name=str(path)))
    _tell_update(path, known, merged, as_json=as_json)
    return 0


def _sights(runs: Sequence[Path], patterns: Sequence[str]) -> Mapping[str, Any]:
    from untorn_reports import verdict_file  # noqa: PLC0415

    from untorn_conformance.baseline import covers  # noqa: PLC0415
    from untorn_conformance.baseline_edit import says_something, sights_of  # noqa: PLC0415
    from untorn_conformance.verdict import from_json  # noqa: PLC0415

    documents = [verdict_file.read(run) for run in runs]
    backends = dict.fromkeys(str(each["provenance"]["backend"]) for each in documents)
    if len(backends) > 1:
        raise Ended(f"runs of different backends: {', '.join(backends)}; a file each", USAGE)
    verdicts = [from_json(each) for each in documents]
    for run, verdict in zip(runs, verdicts, strict=True):
        if not says_something(verdict):
            raise Ended(f"{run}: its verdict is invalid, and says nothing; run again", NO_VERDICT)
    sights = sights_of(verdicts)
    return {
        case: sight
        for case, sight in sights.items()
        if not patterns or any(covers(each, case) for each in patterns)
    }


def _need_issue(merged: Merged, issue: str) -> None:
    if merged.new and not issue:
        names = ", ".join(merged.new)
        text = f"not in the baseline yet: {names}; say where they are tracked: --issue TEXT"
        raise Ended(text, USAGE)


def _put(path: Path, text: str) -> None:
    """Replace the file at once: nobody reads half of it."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        aside.write_text(text, encoding="utf-8")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _tell_update(path: Path, known: Baseline, merged: Merged, *, as_json: bool) -> None:
    from untorn_conformance.baseline_edit import listed  # noqa: PLC0415

    dropped = listed(known.deviations, merged.dropped)
    added = [each.case for each in merged.added]
    if as_json:
        emit({"schema": _UPDATE_SCHEMA, "file": str(path), "added": added, "dropped": dropped})
        return
    for word, names in (("out, since it passes", dropped), ("in", added)):
        for name in names:
            click.echo(printable(f"{word}: {name}"))
    if not merged:
        click.echo(printable(f"{path}: nothing to change"))


@baseline.command("check", help=_CHECK_HELP)
@click.argument("path", metavar="FILE", type=click.Path(exists=True, path_type=Path))
@click.argument(
    "run", metavar="[RUN]", required=False, type=click.Path(exists=True, path_type=Path)
)
@_json_option
def check_command(*, path: Path, run: Path | None, as_json: bool) -> int:
    """Check a baseline."""
    from untorn_reports.verdict_file import VerdictFileError  # noqa: PLC0415

    from untorn_conformance.baseline import today_utc  # noqa: PLC0415
    from untorn_conformance.case_list import CollectionError  # noqa: PLC0415

    with ends(VerdictFileError, CollectionError, code=NO_VERDICT, as_json=as_json):
        problems = _problems(path, run, today_utc())
    if as_json:
        told = [{"fault": each.fault.value, "text": each.text} for each in problems]
        emit({"schema": _CHECK_SCHEMA, "file": str(path), "problems": told})
    else:
        lines = [f"{path}: {each}" for each in problems] or [f"{path}: in order"]
        click.echo(printable("\n".join(lines)))
    return NO_VERDICT if problems else 0


def _problems(path: Path, run: Path | None, today: date) -> Sequence[Problem]:
    from untorn_reports import verdict_file  # noqa: PLC0415

    from untorn_conformance.baseline import BaselineError, read  # noqa: PLC0415
    from untorn_conformance.baseline_edit import sights_of, stale_in  # noqa: PLC0415
    from untorn_conformance.case_list import cases_of_suite  # noqa: PLC0415
    from untorn_conformance.verdict import from_json  # noqa: PLC0415

    verdict = None if run is None else from_json(verdict_file.read(run))
    try:
        read_in = read(path, today=today)
        ran = [] if verdict is None else [case.case for case in verdict.cases if not case.is_canary]
        read_in.check_cases([*ran, *(case.id for case in cases_of_suite())])
    except BaselineError as error:
        return error.problems
    return [] if verdict is None else list(stale_in(read_in, sights_of([verdict])))
