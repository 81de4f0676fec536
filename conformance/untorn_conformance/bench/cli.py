"""The commands `untorn bench cache`, `untorn bench extract` and `untorn bench explore`."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

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
from untorn_conformance.bench.explore_site import FULL as EXPLORE_FULL
from untorn_conformance.bench.explore_site import KEYS as EXPLORE_KEYS
from untorn_conformance.bench.explore_site import QUICK as EXPLORE_QUICK
from untorn_conformance.bench.explore_site import TINY as EXPLORE_TINY
from untorn_conformance.bench.explore_site import ExplorePlan, Site
from untorn_conformance.bench.extract_plan import FULL as EXTRACT_FULL
from untorn_conformance.bench.extract_plan import QUICK as EXTRACT_QUICK
from untorn_conformance.bench.extract_plan import TINY as EXTRACT_TINY
from untorn_conformance.bench.extract_plan import ExtractPlan, Studio
from untorn_conformance.bench.plan import FULL, QUICK, TINY, Ground, Plan
from untorn_conformance.bench.row import Row

SCHEMA = "untorn/bench/1"
_INTERRUPTED = 130
_NO_GATE = 6
_BROKEN = 7

_EXPLORE_HELP = """
Measure the gate and its search: schedules a second, a gated call, what reduction saves, seconds to
findings from a cold start, memory, starts of workers.

Each case takes turns with its floor in one run; medians and ratios are printed, and what misses its
goal is said in words. What is of one core is pinned to one processor. Takes some minutes.

\b
Keys of --json at the top level, beside schema, machine, plan and rows:
{keys}

\b
Exit codes:
  0  measured, whether or not the goals are met
  6  the gate is refused here
  7  nothing was measured: a backend, the gate or the harness itself failed
130  interrupted; nothing is left behind
"""


def _explore_help() -> str:
    width = max(map(len, EXPLORE_KEYS))
    keys = "\n".join(f"  {key:<{width}}  {what}" for key, what in EXPLORE_KEYS.items())
    return _EXPLORE_HELP.format(keys=keys)


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
    """Measure the reference cache beside bare system calls and other caches.

    Takes some minutes and up to 3 GB and 1.5 million files below --dir, removed at the end. Times
    depend on the machine; the ratios are of cases that took turns.
    """
    plan = _plan(TINY if tiny else QUICK if quick else FULL, rounds)
    _measure(
        lambda home: measure(Ground(home=home, plan=plan, say=_say)),
        plan,
        directory,
        as_json=as_json,
    )


@bench.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--quick", is_flag=True, help="Fewer rounds: under a minute, a look.")
@click.option("--tiny", is_flag=True, hidden=True, help="The smallest sizes, to test the command.")
@click.option("--rounds", type=click.IntRange(min=1), help="How often the cases take turns.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    help="Where to measure: a directory of the file system in question. Default: $TMPDIR or /tmp.",
)
def extract(
    *, as_json: bool, quick: bool, tiny: bool, rounds: int | None, directory: Path | None
) -> None:
    """Measure renders of real clips: cold beside bare ffmpeg, warm beside cold, shared, in a crowd.

    Takes some minutes. The clips are fetched once, pinned by hash; where they cannot be had, the
    rows say so. Times depend on the machine; the ratios are of cases that took turns.
    """
    from untorn_conformance.bench import extract as extracting  # noqa: PLC0415 - imports PyAV

    plan = EXTRACT_TINY if tiny else EXTRACT_QUICK if quick else EXTRACT_FULL
    plan = plan if rounds is None else dataclasses.replace(plan, rounds=rounds)
    _measure(
        lambda home: extracting.measure(Studio(home=home, plan=plan, say=_say)),
        plan,
        directory,
        as_json=as_json,
    )


def _measure(
    rows_of: Callable[[Path], list[Row]],
    plan: Plan | ExtractPlan,
    directory: Path | None,
    *,
    as_json: bool,
) -> None:
    """Print the rows that are measured in a folder of their own, which is removed at the end."""
    home = Path(tempfile.gettempdir()) if directory is None else directory
    described = machine.describe(home)
    try:
        with _workspace(home) as workspace:
            rows = rows_of(workspace)
            described["loadavg_after"] = machine.load_average()
            _print(rows, described, plan, as_json=as_json)  # removing what was made takes a while
    except KeyboardInterrupt:
        _say("interrupted; everything that was made is removed")
        sys.exit(_INTERRUPTED)


@bench.command("explore", help=_explore_help())
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--quick", is_flag=True, help="Small sizes, one round: a look, no measurement.")
@click.option("--tiny", is_flag=True, hidden=True, help="The smallest sizes, to test the command.")
@click.option("--rounds", type=click.IntRange(min=1), help="How often the cases take turns.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    help="Where to explore: a directory of the file system in question. Default: $TMPDIR or /tmp.",
)
def explore(
    *, as_json: bool, quick: bool, tiny: bool, rounds: int | None, directory: Path | None
) -> None:
    """Measure, unless the gate is refused here."""
    from untorn_stress.gate import availability  # noqa: PLC0415 - what bench cache does not need

    from untorn_conformance.bench import explore as exploring  # noqa: PLC0415

    refused = availability.probe()
    if not refused.ok:
        _say(f"UNKNOWN: the gate cannot be used here: {refused.reason}\n{refused.advice}")
        sys.exit(_NO_GATE)
    plan = EXPLORE_TINY if tiny else EXPLORE_QUICK if quick else EXPLORE_FULL
    plan = plan if rounds is None else dataclasses.replace(plan, rounds=rounds)
    home = Path(tempfile.gettempdir()) if directory is None else directory
    described = machine.describe(home)
    try:
        with _workspace(home) as workspace:
            done = exploring.measure(Site(home=workspace, plan=plan, say=_say))
            described["loadavg_after"] = machine.load_average()
            _print(done.rows, described, plan, as_json=as_json, headline=done.headline)
            if not as_json:
                click.echo("\n".join(done.missed))
    except exploring.NOT_MEASURED as error:
        _say(f"untorn bench explore: nothing measured: {error}")
        sys.exit(_BROKEN)
    except KeyboardInterrupt:
        _say("interrupted; everything that was made is removed")
        sys.exit(_INTERRUPTED)


def _print(
    rows: list[Row],
    described: dict[str, object],
    plan: Plan | ExplorePlan | ExtractPlan,
    *,
    as_json: bool,
    headline: Mapping[str, object] = MappingProxyType({}),
) -> None:
    if not as_json:
        _show(rows, described)
        return
    document = {
        "schema": SCHEMA,
        **headline,
        "machine": described,
        "plan": dataclasses.asdict(plan),
        "rows": [row.to_json() for row in rows],
    }
    click.echo(json.dumps(document, indent=2))


def measure(ground: Ground) -> list[Row]:
    """Every row, in the order of the goals."""
    rows = [*lookups.measure(ground), *writes.measure(ground)]
    populated = _populate(ground)
    rows += sweeps.measure(ground, populated)
    return [*rows, *memory.measure(ground, populated)]


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
