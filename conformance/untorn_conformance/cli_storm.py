"""`untorn storm`: what a person types, checked and handed on to ``storming``.

The result goes to stdout (text, or one JSON object with --json), progress and errors to stderr.
"""

from __future__ import annotations

import difflib
import math
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import rich_click as click
from untorn_stress.duration import parse as parse_duration

from untorn_conformance.cli_ending import NO_VERDICT, emit, ends, printable
from untorn_conformance.cli_explore import known_backend, progress_lines

if TYPE_CHECKING:
    from untorn_stress.storm.plan import Wanted

_SEED_MAX: Final = 2**64 - 1
_MOST_WORKERS: Final = 64
_MOST_KILLS: Final = 1000.0
_MOST_TOLD: Final = 10

_HELP: Final = """
Let many real processes use a cache at full speed while real faults strike, and judge what they saw.

A storm is a row of rounds. In each, readers, writers and collectors work for some seconds while
workers are killed and other faults come and go; then all are killed, a fresh worker looks at what
is left, publishes and reads every key, and eleven checkers judge all that was answered. A seed
repeats the plan of a storm (who is struck by what, and when), not the races within it.

\b
Examples:
  untorn storm --duration 40s --seed 7
  untorn storm --backend 'cmd:node adapter.mjs' --duration 10m
  untorn storm --nemesis stop,root-removed --workers 2,2,1 --duration 60s
  untorn storm --nemesis none --kills-per-s 0 --duration 40s

\b
Nemeses (all but the last two kinds need nothing; the others say why they cannot strike):
  kill          SIGKILL of one worker, so often as --kills-per-s says
  kill-tree     SIGKILL of some workers and all that they started
  kill-parent   SIGKILL of a worker whose decoder lives on (with --extract)
  stop          SIGSTOP for longer than the configured ages, then SIGCONT
  gc-storm      every collector evicts all it may, again and again
  mtimes        all times below the root are shifted
  cleaner       files of entries are removed one by one, as systemd-tmpfiles does
  root-removed  the root is deleted in use, and made again
  clock         workers whose clock is off [virtual-clock]
  permissions   directories are closed for a while (unprivileged workers)
  disk-full     no byte, and
  inodes-full   no inode is left on a small file system (a tmpfs of our own, without root)

The run directory holds storm.json, findings.jsonl (each finding as soon as it is made) and the
histories of the rounds in which something was found.

\b
Exit codes:
  0  nothing found
  1  something was found
  2  an option is not right
  6  unknown: a checker could not tell, a nemesis that was named never bit, or what was to be
     written could not
  7  no verdict is possible: the backend or the harness itself failed
130  interrupted (143 by SIGTERM); what was found so far is kept, and exits 1
"""


def worker_counts(text: str) -> tuple[int, int, int]:
    """Read R,W,C: readers, writers, collectors. Raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,4}),([0-9]{1,4}),([0-9]{1,4})", text.replace(" ", ""))
    counts = tuple(int(each) for each in match.groups()) if match else (0, 0, 0)
    if not any(counts) or max(counts) > _MOST_WORKERS:
        allowed = f"write readers,writers,collectors such as 6,4,2, {_MOST_WORKERS} of each at most"
        raise ValueError(f"{text!r} are no workers; {allowed}")
    return counts[0], counts[1], counts[2]


def nemesis_names(text: str) -> tuple[str, ...]:
    """Read names with commas between them, or all, or none. Raises ValueError."""
    from untorn_stress.storm.nemesis.catalogue import NEMESES  # noqa: PLC0415

    if text in ("all", "none"):
        return tuple(NEMESES) if text == "all" else ()
    names = tuple(dict.fromkeys(each.strip() for each in text.split(",")))
    for name in names:
        if name not in NEMESES:
            near = difflib.get_close_matches(name, list(NEMESES), n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(NEMESES)}"
            raise ValueError(f"there is no nemesis {name!r}; {hint}")
    return names


def wanted_nemeses(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which strike, and those of them that were asked for by name. Raises ValueError."""
    names = nemesis_names(text)
    return names, () if text == "all" else names


def _reads(read: Any) -> Any:
    def callback(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
        try:
            return None if value is None else read(value)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from error

    return callback


def _a_number(ctx: click.Context, param: click.Parameter, value: float) -> float:
    if math.isnan(value):  # it is in no range, and out of none
        raise click.BadParameter("nan is no number.", ctx, param)
    return value


@click.command("storm", help=_HELP)
@click.option(
    "--duration", default="40s", show_default=True, metavar="TIME", callback=_reads(parse_duration),
    help="How long: 40s, 10m, 8h. A round that was begun is finished.",
)  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0, _SEED_MAX), metavar="N",
    help="Decides all that is drawn.  [default: a fresh one, which is printed]",
)  # fmt: skip
@click.option(
    "--backend", default="reference", show_default=True, metavar="SPEC", callback=known_backend,
    help="The cache to storm: reference, py:MODULE:FACTORY, cmd:COMMAND, file:BACKEND.toml.",
)  # fmt: skip
@click.option(
    "--workers", default="6,4,2", show_default=True, metavar="R,W,C",
    callback=_reads(worker_counts), help="How many readers, writers and collectors.",
)  # fmt: skip
@click.option(
    "--dir", "directory", type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR", help="A directory on the file system to storm on.  [default: tempfile's]",
)  # fmt: skip
@click.option(
    "--nemesis", default="all", show_default=True, metavar="NAMES|all|none",
    callback=_reads(wanted_nemeses), help="Which faults strike, with commas between them.",
)  # fmt: skip
@click.option(
    "--kills-per-s", type=click.FloatRange(0, _MOST_KILLS), default=10.0, show_default=True,
    metavar="N", callback=_a_number,
    help="How many workers the nemesis kill strikes a second, on average.",
)  # fmt: skip
@click.option(
    "--extract", is_flag=True,
    help="Two workers more extract real clips; the backend must declare extract.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="The run directory.  [default: a new one below reports/runs]",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print storm.json on stdout.")
def storm(
    *,
    duration: float,
    seed: int | None,
    backend: str,
    workers: tuple[int, int, int],
    directory: Path | None,
    nemesis: tuple[tuple[str, ...], tuple[str, ...]],
    kills_per_s: float,
    extract: bool,
    out: Path | None,
    as_json: bool,
) -> int:
    """Check what was typed, and storm."""
    from untorn_stress.storm.plan import Wanted  # noqa: PLC0415

    from untorn_conformance import storming  # noqa: PLC0415

    if out is not None and any((out / name).exists() for name in storming.OWN_FILES):
        raise click.UsageError(f"{out} holds a storm already; give a directory of its own")
    wanted = Wanted(
        seed=secrets.randbits(32) if seed is None else seed,
        duration_s=duration,
        readers=workers[0],
        writers=workers[1],
        collectors=workers[2],
        extractors=storming.EXTRACTORS if extract else 0,
        kills_per_s=kills_per_s,
        nemeses=nemesis[0],
        named=nemesis[1],
    )
    with progress_lines() as tell, ends(OSError, code=NO_VERDICT, as_json=as_json):
        _tell_options(tell, backend, wanted)
        raged = storming.storm_command(
            backend=backend, wanted=wanted, directory=directory, out=out, tell=tell
        )
    if as_json:
        emit(raged.document)
    else:
        click.echo(printable(_text(raged.document, raged.out)))
    return raged.exit_code


def _tell_options(tell: Any, backend: str, wanted: Wanted) -> None:
    tell(
        f"storm: backend {backend}, seed {wanted.seed}, {wanted.duration_s:g} s, "
        f"{wanted.readers} readers, {wanted.writers} writers, {wanted.collectors} collectors, "
        f"{wanted.extractors} extractors, {wanted.keys} keys of {wanted.frames} frames, "
        f"{wanted.kills_per_s:g} kills a second, min age {wanted.min_age_s:g} s"
    )
    tell(f"nemeses: {', '.join(wanted.nemeses) or 'none'}")


def _what(document: Mapping[str, Any]) -> str:
    rounds = f"{document['rounds']} rounds in {document['duration_s']:.0f} s"
    return (
        f"{document['name']}: {rounds}, seed {document['seed']}, on {document['root_file_system']}"
    )


def _text(document: Mapping[str, Any], out: Path) -> str:
    """The summary for a person: the verdict first."""
    operations = {verb: sum(outcomes.values()) for verb, outcomes in document["operations"].items()}
    told = ", ".join(f"{count} {verb}" for verb, count in operations.items())
    lines = [
        f"{document['verdict'].upper()}: {document['reason']}",
        _what(document),
        f"operations: {sum(operations.values())} ({told})",
        "strikes (bit of tried): "
        + ", ".join(f"{name} {n['bit']}/{n['tried']}" for name, n in document["strikes"].items()),
    ]
    lines += [f"not applicable: {name}: {why}" for name, why in document["not_applicable"].items()]
    lines += [f"leak: {each}" for each in document["resources"]["leaks"]]
    for found in document["findings"][:_MOST_TOLD]:
        rows = ", ".join(found["requirements"])
        lines.append(f"{found['checker']} ({rows}), round {found['round']}: {found['message']}")
    if len(document["findings"]) > _MOST_TOLD:
        lines.append(f"and {len(document['findings']) - _MOST_TOLD} more in {out / 'storm.json'}")
    return "\n".join([*lines, f"run directory: {out}", f"again: {document['replay']}"])
