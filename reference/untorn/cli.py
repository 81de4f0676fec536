"""The cache's own commands: extract, render, gc, stats, doctor (`python -m untorn`).

What a script wants goes to stdout (the directory, or one JSON object with --json); what a person
wants goes to stderr. Colours and progress appear on a terminal only.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, NoReturn, TextIO

import rich_click as click
from click import Context, HelpFormatter
from click.exceptions import Abort

from untorn import __version__
from untorn.config import (
    OFF_WORDS,
    VAR_DIR,
    VAR_DURABILITY,
    VAR_FFMPEG,
    VAR_MAX_MB,
    VAR_MIN_AGE_S,
    VAR_VERIFY,
)
from untorn.errors import UntornError
from untorn.exit_codes import ExitCode, of_error, table

HELP_TABLES = f"""
Environment:
  {VAR_DIR:<24} the cache root; {", ".join(sorted(OFF_WORDS))}: no cache
  {VAR_MAX_MB:<24} budget in MB (2048), or `unlimited`
  {VAR_MIN_AGE_S:<24} seconds before which nothing is evicted (3600)
  {VAR_DURABILITY:<24} none, digest or syncfs: what survives power loss
  {VAR_VERIFY:<24} 1 checks the bytes of every hit
  {VAR_FFMPEG:<24} the ffmpeg to use; unset: the one in the wheel

Exit codes:
{table()}
"""


class TabledGroup(click.RichGroup):
    """A group whose help ends with the environment and the exit codes, line by line."""

    def format_help(self, ctx: Context, formatter: HelpFormatter) -> None:
        """The usual help, then the tables."""
        super().format_help(ctx, formatter)  # type: ignore[arg-type]
        formatter.write(HELP_TABLES)


_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_root_option = click.option(
    "--cache-dir",
    metavar="DIR",
    help=f"The cache root; instead of {VAR_DIR}.",
)


_sub_option = click.option(
    "--sub", metavar="NAME", help="The sub-cache of that name, in place of the cache itself."
)


@click.group(cls=TabledGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="untorn")
def cli() -> None:
    """A cache of extracted video frames that never serves a torn entry, and the proof of it."""


@cli.command("extract")
@click.argument("clip", type=click.Path(), metavar="CLIP")
@click.option("--fps", required=True, help="Frames a second: 30, 29.97 or 30000/1001.")
@click.option("--format", "frame_format", default="png", show_default=True, help="png or jpg.")
@click.option("--start", default="0", show_default=True, help="Seconds into the clip.")
@click.option("--duration", help="Seconds; to the end if left out.")
@click.option("--quality", type=int, help="1 to 100, for jpg alone (95 if left out).")
@click.option("--final-frame", is_flag=True, help="One frame: the last one shown in the range.")
@click.option("--transform", help="Convert in the decoding pass: sdr2hdr-smpte2084 (PQ) and "
    "sdr2hdr-arib-std-b67 (HLG) make 16-bit png of SDR; hdr2sdr tone maps.")  # fmt: skip
@click.option("--output", type=click.Path(), help="Copy the frames into this new directory.")
@_root_option
@_json_option
def extract_command(**options: Any) -> None:
    """Extract the frames of CLIP, or find them in the cache; print their directory."""
    from untorn.cli_extract import extract  # noqa: PLC0415 - imports PyAV, which takes 0.7 s

    extract(**options)


@cli.command("render")
@click.argument("composition_file", type=click.Path(), metavar="COMPOSITION")
@click.option("--out", type=click.Path(), metavar="DIR", help="Put the frames there, a directory "
    "a clip: clip_001, clip_002, ...; each appears whole or not at all.")  # fmt: skip
@click.option("--copy", is_flag=True, help="Copy frames that could be linked: yours to change.")
@click.option("--tone-map/--no-tone-map", default=None, help="Make SDR of HDR clips, or do not; "
    "as the file says if left out.")  # fmt: skip
@click.option("--slots", type=click.IntRange(min=1), help="Decoders at a time; half of the "
    "processors if left out.")  # fmt: skip
@_root_option
@_json_option
def render_command(**options: Any) -> None:
    """Make the frames of all clips of a COMPOSITION, or find them; print a directory a clip.

    A composition is a TOML file: fps, format, quality, identity and tone_map for all clips, and a
    [[clip]] for each with path, start, duration, fps, format, quality, identity, final_frame,
    transform. Equal ranges are made once. A clip that fails is named, has an empty line in place of
    its directory, and harms no other: exit code 8.
    """
    from untorn.cli_render import render  # noqa: PLC0415 - imports PyAV, which takes 0.7 s

    render(**options)


@cli.command("gc")
@click.option("--dry-run", is_flag=True, help="Say what would go, and change nothing.")
@click.option("--budget-mb", help="Evict down to this many MB (0: all that is unprotected).")
@click.option("--min-age-s", type=float, help="Evict nothing younger than this many seconds.")
@_sub_option
@_root_option
@_json_option
def gc_command(**options: Any) -> None:
    """Evict what is over the budget, and remove what dead writers left.

    The budget of a sub-cache is known to its program alone: with --sub nothing is evicted for
    budget unless --budget-mb says down to what.
    """
    from untorn.cli_upkeep import gc  # noqa: PLC0415

    gc(**options)


@cli.command("stats")
@_sub_option
@_root_option
@_json_option
@click.option("--prometheus", is_flag=True, help="Print Prometheus text, for a node's exporter.")
def stats_command(sub: str | None, cache_dir: str | None, as_json: bool, prometheus: bool) -> None:
    """Say what is stored and what was counted, and which sub-caches there are."""
    from untorn.cli_upkeep import stats  # noqa: PLC0415

    if as_json and prometheus:
        raise click.UsageError("--json and --prometheus exclude each other")
    stats(sub=sub, cache_dir=cache_dir, as_json=as_json, prometheus=prometheus)


@cli.command("doctor")
@_root_option
@_json_option
def doctor_command(cache_dir: str | None, as_json: bool) -> None:
    """Say whether the root, its file system and the decoder are fit for use."""
    from untorn.cli_doctor import doctor  # noqa: PLC0415

    doctor(cache_dir=cache_dir, as_json=as_json)


def emit(value: Mapping[str, object]) -> None:
    """One JSON object on stdout; a path of any bytes becomes escapes."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=True))


def say(text: str) -> None:
    """One line for people, on stderr."""
    click.echo(text.encode("utf-8", "backslashreplace").decode("utf-8"), err=True)


def run(command: Callable[..., Any], arguments: list[str]) -> int:
    """Run a command group and turn every ending into an exit code and one line; no traceback."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    hangup = getattr(signal, "SIGHUP", None)  # not everywhere
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:  # as nohup has it
        signal.signal(hangup, _on_sigterm)  # the terminal is gone: decoders would go on
    try:
        result = command(args=arguments, prog_name="untorn", standalone_mode=False)
    except UntornError as error:
        if "--json" in arguments:
            emit({"schema": "untorn/error/1", "error": type(error).__name__, "message": str(error)})
        say(f"untorn: {error}")
        return of_error(error)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, Abort):
        say("untorn: stopped")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left: that is no failure, and nobody is there to be told.
        _mute(sys.stdout)
        return ExitCode.OK
    except OSError as error:
        _mute(sys.stdout)  # it may be what is refused
        with contextlib.suppress(OSError):
            say(f"untorn: {_refusal(error)}")
        return ExitCode.SYSTEM
    return result if isinstance(result, int) else ExitCode.OK


def _mute(stream: TextIO | None) -> None:
    """Have what the interpreter still has for `stream` go nowhere."""
    if stream is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _refusal(error: OSError) -> str:
    """An error of the system on one line, with the path if it is of one."""
    told = error.strerror or str(error)
    return told if error.filename is None else f"{error.filename!a}: {told}"


def _on_sigterm(_number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(ExitCode.TERMINATED)


def main() -> NoReturn:
    """`python -m untorn`: the cache's commands without the harness."""
    sys.exit(run(cli, sys.argv[1:]))
