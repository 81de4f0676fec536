"""`untorn explore` and `untorn replay`: what a person types, checked and handed on.

What the words mean is decided here; what is done with them in ``exploring`` and
``replaying``. Results go to stdout (the timeline, or one JSON object with --json), progress and
errors to stderr.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import rich_click as click
from click.exceptions import Exit

if TYPE_CHECKING:
    from untorn_stress.counterexample import Counterexample
    from untorn_stress.token import Token

_NO_VERDICT: Final = 7
_SEED_MAX: Final = 2**64 - 1
_TIMES_MAX: Final = 100_000
_PREEMPTIONS_MAX: Final = 100
_KILLS_MAX: Final = 8
_ERRNOS_MAX: Final = 2
_BOUNDED: Final = "dfs"
_SCHEDULERS: Final = (_BOUNDED, "dfs-unbounded", "pct", "random")
_GRAINS: Final = ("metadata", "data")
_LOOKS_LIKE_TOKEN: Final = re.compile(r"\s*u[0-9]+\.")
_ERROR_SCHEMA: Final = "untorn/error/1"


_EXPLORE_HELP: Final = """
Run a cache in every order that matters, and show the order that breaks it.

Workers are real processes. Each file-system call below the cache's root waits until it is
chosen, so that every schedule can be made on purpose, and made again. Nothing is configured:
the trees that runs begin from are harvested from the cache's own interrupted work.

\b
Examples:
  untorn explore --backend 'cmd:node adapter.mjs'
  untorn explore --scenario writer-writer --preemptions 2
  untorn explore --scenario publish-alone --kills 1
  untorn explore --scheduler pct --budget 90s --seed 7
  untorn explore --errnos 1

Each finding is drawn as a timeline, whose last line replays it.

\b
Exit codes:
  0  explored to the bound, or all drawn that was to be; nothing found
  1  something was found
  2  an option is not right, or names what there is not
  6  undecided: the budget ended first, the gate is refused here, the
     backend is not deterministic or can do no scenario that was named,
     or a deadline passed
  7  no verdict is possible: the backend or the harness itself failed
130  interrupted; what was found so far is kept
"""

_REPLAY_HELP: Final = """
Make one run again, from a counterexample file or from its token.

The run is drawn in columns, one a worker, each finding below the step that shows it. A star
marks the steps that another worker could have disturbed: look at those first.

A file or token names the program that it is about, and that is started before anything can be
known of it. One from a stranger may name any command (cmd:...): give --backend, and only what
you gave is started.

\b
Examples:
  untorn replay reports/runs/latest/P3.json
  untorn replay u1.writer-writer.published.31A-12B.metadata.real.0.WyJyZWZl...
  untorn replay --times 100 --json P3.json

\b
Exit codes:
  0  the run was made as it was, and nothing is wrong with it: fixed?
  1  it shows the finding (with --times: at least once)
  2  the file or token cannot be used, or is for another backend
  6  undecided: the run could not be made again as it was, ended before
     its schedule, or is not the one that the file tells
  7  no verdict is possible: the backend or the harness itself failed
130  interrupted
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Budget:
    """When to stop looking: after so many runs, or so many seconds."""

    runs: int | None = None
    seconds: float | None = None


def _budget(ctx: click.Context, param: click.Parameter, value: str | None) -> _Budget:
    if value is None:
        return _Budget()
    if re.fullmatch(r"[0-9]{1,12}", value) and int(value) > 0:
        return _Budget(runs=int(value))
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?s", value) and float(value[:-1]) > 0:
        return _Budget(seconds=float(value[:-1]))
    message = f"{value!r} is neither runs, such as 500, nor seconds, such as 90s"
    raise click.BadParameter(message, ctx, param)


def known_backend(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Check the text of --backend: a usage error for one that is none."""
    from untorn_conformance import registry  # noqa: PLC0415
    from untorn_conformance.backend_file import UnusableBackendError  # noqa: PLC0415

    try:
        if value is not None:
            registry.parse(value)
    except UnusableBackendError as error:
        click.echo(f"untorn: no verdict: {error}", err=True)
        raise Exit(_NO_VERDICT) from error
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error
    return value


def _known_scenarios(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...]:
    from untorn_stress.scenarios import ALL  # noqa: PLC0415

    known = [scenario.name for scenario in ALL]
    for name in value:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "see untorn explore --list"
            raise click.BadParameter(f"there is no scenario {name!r}; {hint}", ctx, param)
    return value


_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_fold_option = click.option(
    "--fold", is_flag=True, help="Put steps that no other worker can disturb into one line."
)


@click.command("explore", help=_EXPLORE_HELP)
@click.option(
    "--backend", default="reference", show_default=True, metavar="SPEC", callback=known_backend,
    help="The cache to explore: reference, py:MODULE:FACTORY, cmd:COMMAND, file:BACKEND.toml.",
)  # fmt: skip
@click.option(
    "--scenario", "scenarios", multiple=True, metavar="NAME", callback=_known_scenarios,
    help="Only this scenario; repeatable.  [default: all that the backend can do]",
)  # fmt: skip
@click.option(
    "--tree", metavar="NAME",
    help="Begin from this tree alone: empty, published, harvest-1a2b3c4d.  "
    "[default: the scenario's own, then every harvested one]",
)  # fmt: skip
@click.option(
    "--scheduler", type=click.Choice(_SCHEDULERS), default=_BOUNDED, show_default=True,
    help="dfs is exhaustive up to a number of preemptions, dfs-unbounded altogether; pct and "
    "random draw schedules from the seed. Where workers extract, pct draws for dfs, too.",
)  # fmt: skip
@click.option(
    "--preemptions", type=click.IntRange(0, _PREEMPTIONS_MAX), metavar="N",
    help="How often dfs may interrupt a worker that could go on.  [default: the scenario's own]",
)  # fmt: skip
@click.option(
    "--kills", type=click.IntRange(0, _KILLS_MAX), default=0, show_default=True, metavar="N",
    help="How many workers dfs may kill, each before any of its steps.",
)  # fmt: skip
@click.option(
    "--errnos", type=click.IntRange(0, _ERRNOS_MAX), default=0, show_default=True, metavar="N",
    help="How many calls dfs may make fail, each with every errno that it can return: once, and "
    "from then on. Without --scenario, of one worker alone.",
)  # fmt: skip
@click.option(
    "--budget", callback=_budget, metavar="RUNS|SECONDSs",
    help="Stop after so many runs (500) or seconds (90s); what is left is then UNKNOWN.",
)  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0, _SEED_MAX), default=0, show_default=True,
    help="Decides all that is drawn: schedules of pct and random, and what workers draw.",
)  # fmt: skip
@click.option(
    "--grain", type=click.Choice(_GRAINS),
    help="What is a step: names and locks only, or the reading and writing of data, too.  "
    f"[default: {_GRAINS[0]}; {_GRAINS[-1]} with --errnos]",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="Where counterexample files are written.  [default: the run's directory]",
)  # fmt: skip
@click.option("--list", "only_list", is_flag=True, help="List scenarios and trees, run nothing.")
@_fold_option
@_json_option
def explore(
    *,
    only_list: bool,
    fold: bool,
    as_json: bool,
    scheduler: str,
    preemptions: int | None,
    kills: int,
    errnos: int,
    grain: str | None,
    budget: _Budget,
    **how: Any,
) -> int:
    """Check what was typed, and explore."""
    from untorn_conformance import exploring  # noqa: PLC0415

    if preemptions is not None and scheduler != _BOUNDED:
        raise click.UsageError(
            f"--preemptions bounds {_BOUNDED}, and {scheduler} has no such bound"
        )
    if kills and scheduler != _BOUNDED:
        raise click.UsageError(f"--kills are choices of {_BOUNDED}; {scheduler} makes none")
    if errnos and scheduler != _BOUNDED:
        raise click.UsageError(f"--errnos are choices of {_BOUNDED}; {scheduler} makes none")
    if only_list:
        return _finish(exploring.list_command(backend=how["backend"]), as_json)
    with progress_lines() as progress, _usage_errors(as_json):
        done = exploring.explore_command(
            **how,
            scheduler=scheduler,
            preemptions=preemptions,
            kills=kills,
            errnos=errnos,
            grain=grain or _GRAINS[-1 if errnos else 0],
            budget_runs=budget.runs,
            budget_s=budget.seconds,
            draw=_draw(fold),
            progress=progress,
        )
    return _finish(done, as_json)


@click.command("replay", help=_REPLAY_HELP)
@click.argument("subject", metavar="FILE|TOKEN")
@click.option(
    "--backend", metavar="SPEC", callback=known_backend,
    help="How the same program is started here, and nothing else.  [default: as it was]",
)  # fmt: skip
@click.option(
    "--times", type=click.IntRange(1, _TIMES_MAX), default=1, show_default=True, metavar="N",
    help="Replay so often and say how often it showed the same.",
)  # fmt: skip
@_fold_option
@_json_option
def replay(*, subject: str, backend: str | None, times: int, fold: bool, as_json: bool) -> int:
    """Check what was typed, and replay."""
    from untorn_conformance import replaying  # noqa: PLC0415

    with progress_lines() as progress, _usage_errors(as_json):
        token, saved = _read(subject)
        done = replaying.replay_command(
            token=token,
            saved=saved,
            backend=backend,
            times=times,
            draw=_draw(fold),
            progress=progress,
        )
    return _finish(done, as_json)


def _read(subject: str) -> tuple[Token, Counterexample | None]:
    """Take a file's token, or the token itself; a file of that name goes first."""
    from untorn_stress import counterexample  # noqa: PLC0415
    from untorn_stress.token import Token, TokenError  # noqa: PLC0415

    if os.path.exists(subject):
        saved = counterexample.read(Path(subject))
        return saved.token, saved
    if _LOOKS_LIKE_TOKEN.match(subject):
        return Token.decode(subject), None
    raise TokenError(f"{subject!a} is neither a file nor a token; a token starts with u1.")


@contextlib.contextmanager
def _usage_errors(as_json: bool) -> Iterator[None]:
    """Turn a token, file, folder or name that cannot be used into a sentence and exit code 2."""
    from untorn_stress.counterexample import CounterexampleError  # noqa: PLC0415
    from untorn_stress.token import TokenError  # noqa: PLC0415

    from untorn_conformance.done import UnwritableError  # noqa: PLC0415

    try:
        yield
    except (TokenError, CounterexampleError, UnwritableError) as error:
        if as_json:
            _emit({"schema": _ERROR_SCHEMA, "error": type(error).__name__, "message": str(error)})
        raise click.UsageError(str(error)) from error


def _finish(done: Any, as_json: bool) -> int:
    """Print what came of it; the result has exit_code, text and document."""
    if as_json:
        _emit(done.document)
    else:
        encoding = sys.stdout.encoding or "ascii"
        click.echo(done.text.encode(encoding, "backslashreplace").decode(encoding))
    return int(done.exit_code)


def _draw(fold: bool) -> Callable[..., str]:
    """Return how a run is drawn on this terminal: ``draw(run, replay=line)``."""
    from untorn_stress import timeline  # noqa: PLC0415

    width = shutil.get_terminal_size((timeline.WIDTH, 0)).columns
    return partial(timeline.render, width=width, color=sys.stdout.isatty(), fold=fold)


@contextlib.contextmanager
def progress_lines() -> Iterator[Callable[[str], None]]:
    """Lines of progress on stderr; a terminal shows only the last one, and in the end none."""
    if not sys.stderr.isatty():
        yield lambda line: click.echo(line, err=True)
        return
    clear = "\r\x1b[K"
    columns = shutil.get_terminal_size().columns
    try:
        yield lambda line: click.echo(f"{clear}{line[: columns - 1]}", err=True, nl=False)
    finally:
        click.echo(clear, err=True, nl=False)


def _emit(document: Any) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=True))
