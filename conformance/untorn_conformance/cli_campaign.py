"""`untorn campaign`: what a person types, checked and handed on, and how it ends.

Progress, and each finding when it is made, go to stderr; the result goes to stdout.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import rich_click as click

from untorn_conformance.cli_ending import NO_VERDICT, emit, ends, printable
from untorn_conformance.cli_explore import known_backend

if TYPE_CHECKING:
    from untorn_stress.campaign.conduct import Voice

_SEED_MAX: Final = 2**32 - 1
_JOBS_MAX: Final = 256
_STRANDS: Final = ("storms", "pct", "fail_nth", "bounds")
_INTERRUPTED: Final = 130

_HELP: Final = """
Spend a night on a cache: storms, drawn schedules, failing calls, and bounds too wide for a day.

The time is shared fairly among these. What fails is kept in a corpus and tried first by the next
campaign in the same directory. A campaign that was stopped, or killed, goes on where it was when
it is started again. Before all, caches that are known to be broken must be found out: where one
is not, the verdict is invalid.

\b
Examples:
  untorn campaign --duration 8h --seed 7
  untorn campaign --duration 20m --backend 'cmd:node adapter.mjs' --scenario pct
  untorn campaign --duration 8h --executor dask://10.0.0.5:8786
  untorn campaign --duration 8h --out nightly --corpus corpus.jsonl --max-disk 4GiB

\b
Exit codes:
  0  pass: nothing was found, every scenario was tried, no shard was left undecided
  1  fail: something was found; its last line replays it
  2  an option is not right
  6  unknown: something was undecided, or the time too short
  7  invalid: a canary was missed, a shard broke, or no verdict is possible
130  interrupted; what was found so far is kept, and the same command goes on
"""


def _duration(ctx: click.Context, param: click.Parameter, value: str) -> float:
    from untorn_stress import duration  # noqa: PLC0415

    try:
        return duration.parse(value)
    except duration.DurationError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def _size(ctx: click.Context, param: click.Parameter, value: str) -> int:
    from untorn_stress.campaign import room  # noqa: PLC0415

    try:
        return room.parse_size(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def _executor(ctx: click.Context, param: click.Parameter, value: str) -> str:
    from untorn_stress.campaign import hands  # noqa: PLC0415

    if value != hands.LOCAL:
        try:
            hands.address_of(value)
        except hands.ExecutorError as error:
            raise click.BadParameter(str(error), ctx, param) from error
    return value


@click.command("campaign", help=_HELP)
@click.option(
    "--duration", "asked_s", required=True, callback=_duration, metavar="TIME",
    help="How long: 40s, 10m, 8h or 1h30m. Time that an earlier start has used counts.",
)  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0, _SEED_MAX),
    help="Decides all that is drawn.  [default: a new one, said first; or the unfinished one's]",
)  # fmt: skip
@click.option(
    "--backend", default="reference", show_default=True, metavar="SPEC", callback=known_backend,
    help="The cache: reference, py:MODULE:FACTORY, cmd:COMMAND, file:BACKEND.toml.",
)  # fmt: skip
@click.option(
    "--scenario", "strands", multiple=True, type=click.Choice(_STRANDS),
    help="Only this; repeatable.  [default: all four]",
)  # fmt: skip
@click.option(
    "--dir", "base", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR",
    help="A directory on the file system to test on.  [default: the temporary directory]",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="The campaign's directory; the same one goes on, and keeps the corpus.  "
    "[default: campaign-BACKEND where runs land]",
)  # fmt: skip
@click.option(
    "--corpus", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Failing commands, kept for the next campaign.  [default: corpus.jsonl in --out]",
)  # fmt: skip
@click.option(
    "--executor", default="local", show_default=True, callback=_executor, metavar="WHERE",
    help="local, or dask://HOST:PORT: the workers of a Dask cluster (untorn[dask]).",
)  # fmt: skip
@click.option(
    "--jobs", type=click.IntRange(1, _JOBS_MAX), metavar="N",
    help="How many shards at once.  [default: 1 here, one for each worker of a cluster]",
)  # fmt: skip
@click.option(
    "--max-disk", "max_disk_bytes", default="2GiB", show_default=True, callback=_size,
    metavar="SIZE", help="Drop what shards without findings left when --out takes more.",
)  # fmt: skip
@click.option(
    "--fresh", is_flag=True,
    help="Begin anew: an unfinished or damaged campaign is moved to earlier/ in --out.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print campaign.json.")
def campaign(*, as_json: bool, **options: Any) -> int:
    """Check what was typed, and run the campaign."""
    from untorn_stress.campaign.hands import ExecutorError  # noqa: PLC0415
    from untorn_stress.campaign.journal import DamagedFileError, LockedError  # noqa: PLC0415
    from untorn_stress.campaign.place import OtherCampaignError  # noqa: PLC0415

    from untorn_conformance import campaigning  # noqa: PLC0415
    from untorn_conformance.campaigning import NoBackendError  # noqa: PLC0415

    known = (ExecutorError, DamagedFileError, LockedError, OtherCampaignError, NoBackendError)
    with _voice() as voice, ends(*known, OSError, code=NO_VERDICT, as_json=as_json):
        done = campaigning.campaign_command(**options, voice=voice)
    if as_json:
        emit(done.document)
    else:
        click.echo(printable(done.text))
    return _INTERRUPTED if done.interrupted else done.exit_code


@contextlib.contextmanager
def _voice() -> Iterator[Voice]:
    """Lines on stderr; a terminal has one line more, at the bottom, that says how far it is."""
    from untorn_stress.campaign.conduct import Voice  # noqa: PLC0415

    if not sys.stderr.isatty():
        yield Voice(say=lambda line: click.echo(printable(line), err=True), show=lambda _line: None)
        return
    clear = "\r\x1b[K"
    columns = shutil.get_terminal_size().columns

    def say(line: str) -> None:
        click.echo(f"{clear}{printable(line)}", err=True)

    def show(line: str) -> None:
        click.echo(f"{clear}{printable(line)[: columns - 1]}", err=True, nl=False)

    try:
        yield Voice(say=say, show=show)
    finally:
        click.echo(clear, err=True, nl=False)
