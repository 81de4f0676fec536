"""The kill matrix: ``python -m untorn_conformance.meta.matrix``; every mutant, every variant.

Mutants are killed by what they are shown by, and by nothing else; variants and the reference are
accepted by all cases that show mutants, and by two searches. The table says what killed each and
what that took. Exit codes: 0 all killed and no false alarm, 1 not so, 6 some are unknown, 2 usage.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from untorn_conformance.meta.accepting import (
    CASES,
    CHEAPEST,
    VARIANTS,
    accept_cases,
    accept_search,
)
from untorn_conformance.meta.killing import (
    NAMES,
    Shot,
    cases_of,
    gated_of,
    kill_by,
    kill_by_cases,
    mutant,
)
from untorn_conformance.mutants import Case, Deaths, Search

MOST_CORE_S: Final = 10.0
"""What killing one mutant is to take at most, in seconds of processor time."""

ALL: Final = (*NAMES, "reference", *VARIANTS)
"""Every row of the matrix."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of the table. ``word`` says what came of it, ``why`` what is wrong with that."""

    name: str
    is_mutant: bool
    rows: tuple[str, ...]
    by: tuple[str, ...]
    word: str
    why: str
    core_s: float


def row_of(name: str) -> Row:
    """Kill the mutant, or accept the variant, of that name."""
    is_mutant = name in NAMES
    shots = list(_shots(name) if is_mutant else _looks(name))
    missed = "; ".join(filter(None, (shot.missed for shot in shots)))
    unknown = "; ".join(filter(None, (shot.unknown for shot in shots)))
    good, bad = ("killed", "ALIVE") if is_mutant else ("accepted", "FALSE ALARM")
    shown = mutant(name).SHOWN_BY if is_mutant else ()
    return Row(
        name=name,
        is_mutant=is_mutant,
        rows=tuple(sorted(mutant(name).KILLS)) if is_mutant else (),
        by=tuple(map(_in_words, shown)) or (f"{len(CASES)} cases, {len(CHEAPEST)} searches",),
        word=bad if missed else "unknown" if unknown else good,
        why=missed or unknown,
        core_s=sum(shot.core_s for shot in shots),
    )


def _shots(name: str) -> Iterable[Shot]:
    if cases_of(name):
        yield kill_by_cases(name)
    for shown in gated_of(name):
        with tempfile.TemporaryDirectory() as base:
            yield kill_by(name, shown, Path(base))


def _looks(name: str) -> Iterable[Shot]:
    yield accept_cases(name, CASES)
    for search in CHEAPEST:
        with tempfile.TemporaryDirectory() as base:
            yield accept_search(name, search, Path(base))


def _in_words(shown: Case | Search | Deaths) -> str:
    if isinstance(shown, Case):
        return shown.id
    if isinstance(shown, Deaths):
        return f"deaths in {shown.scenario}" + ", after a crash" * shown.after_crash
    counts = {"preemption": shown.preemptions, "kill": shown.kills, "errno": shown.errnos}
    words = [f"{count} {word}{'s' * (count > 1)}" for word, count in counts.items() if count]
    return f"{shown.scenario}, {' and '.join(words) or 'no preemption'}"


def render(rows: Sequence[Row], wall_s: float, jobs: int) -> str:
    """The table, and what it comes to in its last lines."""
    heads = ("", "killed by", "shown by", "core s")
    lines = [
        (row.name, " ".join(row.rows) or row.word, by, f"{row.core_s:.1f}")
        if by == row.by[0]
        else ("", "", by, "")
        for row in rows
        for by in row.by
    ]
    widths = [max(len(line[column]) for line in [heads, *lines]) for column in range(3)]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False))
        + f"  {line[3]:>6}".rstrip()
        for line in [heads, *lines]
    ]
    wrong = [f"{row.word}: {row.name}: {row.why}" for row in rows if row.why]
    return "\n".join([*text, "", *wrong, *_sums(rows, wall_s, jobs)]) + "\n"


def _sums(rows: Sequence[Row], wall_s: float, jobs: int) -> list[str]:
    killing, accepting = ([row for row in rows if row.is_mutant is each] for each in (True, False))
    sums = []
    if killing:
        dead = sum(row.word == "killed" for row in killing)
        by = {name for row in killing for name in row.rows}
        most = max(killing, key=lambda row: row.core_s)
        over = [row.name for row in killing if row.core_s > MOST_CORE_S]
        sums.append(
            f"{dead} of {len(killing)} mutants are killed ({100 * dead / len(killing):.0f} %), "
            f"by {len(by)} rows, in {sum(row.core_s for row in killing):.0f} core-seconds; "
            f"the longest takes {most.core_s:.1f} ({most.name}), "
            f"more than {MOST_CORE_S:.0f} take {', '.join(over) or 'none'}"
        )
    if accepting:
        alarms = sum(row.word == "FALSE ALARM" for row in accepting)
        sums.append(
            f"{alarms} false alarms on {len(accepting)} right caches, "
            f"in {sum(row.core_s for row in accepting):.0f} core-seconds"
        )
    return [*sums, f"{wall_s:.0f} s in all, {jobs} at a time"]


def exit_code(rows: Iterable[Row]) -> int:
    """0, 1 or 6; what is wrong counts more than what is unknown."""
    words = {row.word for row in rows}
    if words & {"ALIVE", "FALSE ALARM"}:
        return 1
    return 6 if "unknown" in words else 0


def make(names: Sequence[str], jobs: int) -> tuple[str, int]:
    """Make these rows of the matrix, so many at a time: the table, and the exit code."""
    began_s = time.monotonic()
    with ProcessPoolExecutor(max_workers=jobs) as workers:
        rows = list(workers.map(row_of, names))
    return render(rows, time.monotonic() - began_s, jobs), exit_code(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the matrix and print it."""
    parser = argparse.ArgumentParser(
        prog="python -m untorn_conformance.meta.matrix",
        description="Kill every mutant and accept every variant; say what did it and what it took.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="mutants or variants, by default all of them"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at a time")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.names) - set(ALL))
    if unknown:
        parser.error(f"no mutant or variant {', '.join(unknown)}; there are {', '.join(ALL)}")
    if options.jobs < 1:
        parser.error(f"--jobs must be 1 or more, not {options.jobs}")
    text, code = make(options.names or ALL, options.jobs)
    sys.stdout.write(text)
    return code


if __name__ == "__main__":
    sys.exit(main())
