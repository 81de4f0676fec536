"""The `untorn` command: the cache's own commands, and the harness around them.

The harness needs the extra `untorn[verify]`. Where it is not installed, its commands say so and the
cache's commands work all the same, so nothing of it is imported before it is needed.
"""

from __future__ import annotations

import sys
from typing import NoReturn

import rich_click as click
from click.exceptions import Exit
from untorn.cli import cli, emit, run, say
from untorn.exit_codes import ExitCode

from untorn_conformance.cli_adapter import adapter, with_backend
from untorn_conformance.cli_baseline import baseline as baseline_group
from untorn_conformance.cli_campaign import campaign
from untorn_conformance.cli_ending import ends
from untorn_conformance.cli_explain import explain, list_command
from untorn_conformance.cli_explore import explore, replay
from untorn_conformance.cli_init import init
from untorn_conformance.cli_report import compare, report
from untorn_conformance.cli_storm import storm


def _need_extra(extra: str, error: ImportError) -> NoReturn:
    say(f"untorn: {error.name} is not installed: pip install 'untorn[{extra}]'")
    raise Exit(ExitCode.USAGE)


@cli.command("verify")
@click.option(
    "--backend", default="reference", show_default=True, metavar="SPEC",
    help="The cache to verify: reference, py:MODULE:FACTORY, cmd:COMMAND, file:BACKEND.toml.",
)  # fmt: skip
@click.option(
    "--req", "requirements", multiple=True, metavar="IDS",
    help="Only these rows of the contract, such as P or P1,G4; repeatable.",
)  # fmt: skip
@click.option(
    "--dir", "directories", multiple=True, type=click.Path(exists=True, file_okay=False),
    help="A directory on the file system to test on; repeatable.",
)  # fmt: skip
@click.option(
    "--baseline", type=click.Path(exists=True, dir_okay=False), metavar="FILE",
    help="Known deviations: cases that may fail, or are not run (untorn baseline --help).",
)  # fmt: skip
@click.option(
    "--effort", type=click.Choice(("dev", "ci", "nightly")),
    help="How much is drawn and searched.  [default: $UNTORN_EFFORT, or dev]",
)  # fmt: skip
@click.option("--run-dir", type=click.Path(), help="Where the run's directory is made.")
@click.option("--workers", "-n", default="auto", show_default=True, help="Processes to test with.")
@click.option("--require-evidence", is_flag=True, help="An UNKNOWN is a failure.")
@click.option("--allow-partial", is_flag=True, help="Exit 0 for a partial verdict, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as one JSON object.")
def verify_command(
    backend: str,
    requirements: tuple[str, ...],
    directories: tuple[str, ...],
    baseline: str | None,
    effort: str | None,
    run_dir: str | None,
    workers: str,
    require_evidence: bool,
    allow_partial: bool,
    as_json: bool,
) -> int:
    """Verify a cache against the contract: verdict, pixels of real clips, report.

    The exit code is the verdict: 0 conformant, 6 partial, 1 non-conformant, 7 invalid.
    """
    try:
        from untorn_conformance.baseline import BaselineError  # noqa: PLC0415
        from untorn_conformance.verify import Wanted, verify  # noqa: PLC0415
    except ImportError as error:
        _need_extra("verify", error)
    wanted = Wanted(
        backend=backend,
        requirements=requirements,
        directories=directories,
        baseline=baseline,
        effort=effort,
        run_dir=run_dir,
        workers=workers,
        require_evidence=require_evidence,
        allow_partial=allow_partial,
    )
    with ends(BaselineError, code=ExitCode.INVALID, as_json=as_json):
        done = verify(wanted, quiet_stdout=as_json)
    if as_json and done.document is not None:
        emit(done.document)
    if done.document is None and done.exit_code == ExitCode.INVALID:
        why = done.problem or "the run ended before it could be judged"
        if as_json:
            emit({"schema": "untorn/error/1", "error": "NoVerdict", "message": why})
        say(f"untorn: no verdict: {why}")
    return done.exit_code


cli.add_command(explore)
cli.add_command(replay)
cli.add_command(campaign)
cli.add_command(storm)
cli.add_command(baseline_group)
cli.add_command(report)
cli.add_command(compare)
cli.add_command(explain)
cli.add_command(list_command)
cli.add_command(init)
cli.add_command(adapter)
cli.add_command(with_backend(cli.commands["doctor"]))


@cli.group("bench")
def bench_group() -> None:
    """Measure the cache against floors and peers, in turn, in one run."""


@bench_group.command(
    "cache", context_settings={"ignore_unknown_options": True}, add_help_option=False
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench_cache_command(arguments: tuple[str, ...]) -> object:
    """The cache's table of goals: lookups, publish, collect, memory."""
    try:
        from untorn_conformance.bench.cli import bench  # noqa: PLC0415
    except ImportError as error:
        _need_extra("verify,bench", error)
    return bench.main(["cache", *arguments], prog_name="untorn bench", standalone_mode=False)


@bench_group.command(
    "extract", context_settings={"ignore_unknown_options": True}, add_help_option=False
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench_extract_command(arguments: tuple[str, ...]) -> object:
    """The extraction's table of goals: renders cold, warm, of shared ranges, in a crowd."""
    try:
        from untorn_conformance.bench.cli import bench  # noqa: PLC0415
    except ImportError as error:
        _need_extra("verify,bench", error)
    return bench.main(["extract", *arguments], prog_name="untorn bench", standalone_mode=False)


@bench_group.command(
    "explore", context_settings={"ignore_unknown_options": True}, add_help_option=False
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench_explore_command(arguments: tuple[str, ...]) -> object:
    """The gate's table of goals: schedules a second, a gated call, reduction, findings, memory."""
    try:
        from untorn_conformance.bench.cli import bench  # noqa: PLC0415
    except ImportError as error:
        _need_extra("verify,bench", error)
    return bench.main(["explore", *arguments], prog_name="untorn bench", standalone_mode=False)


def main() -> NoReturn:
    """Run the `untorn` command."""
    sys.exit(run(cli, sys.argv[1:]))


if __name__ == "__main__":
    main()
