"""The command `untorn bench cache`."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rich_click as click
from rich.console import Console

from untorn_conformance.bench import (
    lookups,
    machine,
    memory,
    population,
    sweeps,
    table,
    writes,
)
from untorn_conformance.bench.plan import FULL, QUICK, TINY, Ground, Plan
from untorn_conformance.bench.row import Row

SCHEMA = "untorn/bench/1"
_INTERRUPTED = 130


@click.group()
def bench() -> None:
    """Measure, side by side, in turns."""


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--quick", is_flag=True, help="Smaller sizes: under a minute, some goals unjudged.")
@click.option("--tiny", is_flag=True, hidden=True, help="The smallest sizes, to test the command.")
@click.option("--rounds", type=click.IntRange(min=1), help="How often the cases take turns.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    help="Where to measure: a directory of the file system in question. Default: $TMPDIR or /tmp.",
)
def cache(
    *, as_json: bool, quick: bool, tiny: bool, rounds: int | None, directory: Path | None
) -> None:
    """Measure the reference cache beside bare system calls, other caches and bare ffmpeg.

    Takes some minutes and up to 3 GB and 1.5 million files below --dir, removed at the end. Times
    depend on the machine; the ratios are of cases that took turns.
    """
    plan = _plan(TINY if tiny else QUICK if quick else FULL, rounds)
    home = Path(tempfile.gettempdir()) if directory is None else directory
    described = machine.describe(home)
    try:
        with _workspace(home) as workspace:
            rows = measure(Ground(home=workspace, plan=plan, say=_say))
            described["loadavg_after"] = machine.load_average()
            _print(rows, described, plan, as_json=as_json)  # removing what was made takes a while
    except KeyboardInterrupt:
        _say("interrupted; everything that was made is removed")
        sys.exit(_INTERRUPTED)


def _print(rows: list[Row], described: dict[str, object], plan: Plan, *, as_json: bool) -> None:
    if not as_json:
        _show(rows, described)
        return
    document = {
        "schema": SCHEMA,
        "machine": described,
        "plan": dataclasses.asdict(plan),
        "rows": [row.to_json() for row in rows],
    }
    click.echo(json.dumps(document, indent=2))


def measure(ground: Ground) -> list[Row]:
    """Every row, in the order of the goals."""
    from untorn_conformance.bench import decodes  # noqa: PLC0415 - PyAV takes 0.7 s to import

    rows = [*lookups.measure(ground), *writes.measure(ground)]
    populated = _populate(ground)
    rows += sweeps.measure(ground, populated)
    rows += memory.measure(ground, populated)
    return [*rows, *decodes.measure(ground)]


def _populate(ground: Ground) -> dict[int, Path]:
    """A root for each number of entries that is measured at."""
    populated = {}
    for count in ground.plan.populations:
        ground.say(f"making a cache of {count} entries")
        root = ground.fresh(f"entries-{count}")
        with population.open_cache(root) as opened:
            population.populate(population.root_of(opened), count, ground.say)
        populated[count] = root
    return populated


def _plan(sizes: Plan, rounds: int | None) -> Plan:
    if rounds is None:
        return sizes
    return dataclasses.replace(sizes, rounds=rounds, heavy_rounds=min(rounds, sizes.heavy_rounds))


@contextmanager
def _workspace(home: Path) -> Iterator[Path]:
    """A directory of our own, removed whatever happens; SIGTERM ends the run as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    workspace = Path(tempfile.mkdtemp(prefix="untorn-bench-", dir=home))
    try:
        yield workspace
    finally:
        # Half of a million files removed is worse than a second Ctrl-C that is not heard.
        interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _say("removing what was made")
        shutil.rmtree(workspace)
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, before)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _show(rows: list[Row], described: dict[str, object]) -> None:
    console = Console()
    if console.is_terminal:
        console.print(table.rich_table(rows))
    else:
        click.echo(table.plain_table(rows))
    for line in ["", *table.notes(rows), "", table.machine_line(described), table.summary(rows)]:
        click.echo(line)
