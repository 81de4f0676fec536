"""Renders of one composition in several processes at once: how many decoders start, and the time.

Decoders are counted where they start: UNTORN_FFMPEG is a script that writes a line and becomes
ffmpeg.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from untorn import Request
from untorn.request import resolve
from untorn_fixtures.clips import ffmpeg_exe

from untorn_conformance.bench import crowd
from untorn_conformance.bench.extract_plan import Studio
from untorn_conformance.bench.row import Goal, Of, Row, Unit, measured
from untorn_conformance.bench.timing import Samples

_SCRIPT = """#!/bin/sh
case "$*" in *-version*) ;; *) echo decode >> {log};; esac
exec {ffmpeg} "$@"
"""


def measure(studio: Studio, requests: Sequence[Request]) -> list[Row]:
    """Two rows for each size of a crowd: decoders started, and seconds until the last is done."""
    home = studio.fresh("crowds").resolve()  # decoders run in directories of their own
    composition = home / "composition.toml"
    composition.write_text(written(requests), "utf-8")
    counter = Counter(home)
    rows, alone = [], None
    for processes in studio.plan.crowds:
        studio.say(f"{processes} renders at once")
        starts, times = [], []
        for number in range(studio.plan.crowd_rounds):
            before = counter.starts()
            root = home / f"cache-{processes}-{number}"
            answers = render(composition, root, counter, processes=processes)
            started = counter.starts() - before
            assert started >= len(requests), f"{started} decoders made {len(requests)} ranges"
            starts.append(float(started))
            times.append(max(answers))
        time = Samples(tuple(times))
        rows += _rows(processes, len(requests), Samples(tuple(starts)), time, alone)
        alone = alone or time
    return rows


def render(composition: Path, root: Path, counter: Counter, *, processes: int) -> list[float]:
    """Seconds of each of `processes` renders that start at once in one cache."""
    answers = crowd.run(
        "render", str(root), str(composition),
        processes=processes, environment={"UNTORN_FFMPEG": str(counter.script)},
    )  # fmt: skip
    return [float(answer) for answer in answers]


def _rows(
    processes: int, ranges: int, starts: Samples, time: Samples, alone: Samples | None
) -> list[Row]:
    name = f"{processes} cold render{'s' if processes > 1 else ''} at once, {ranges} ranges"
    return [
        measured(
            f"{name}: decoders started",
            Unit.DECODES,
            starts,
            goal=Goal(Of.MEDIAN, ranges),
            note=f"{len(starts.values)} rounds; most: {max(starts.values):g}",
        ),
        measured(
            f"{name}: until the last is done",
            Unit.S,
            time,
            floor=None if alone is None else ("one render", alone),
        ),
    ]


@dataclass(frozen=True, slots=True)
class Counter:
    """The script that counts, made at once, and its log."""

    home: Path

    def __post_init__(self) -> None:
        log, ffmpeg = shlex.quote(str(self._log)), shlex.quote(ffmpeg_exe())
        self.script.write_text(_SCRIPT.format(log=log, ffmpeg=ffmpeg), "utf-8")
        self.script.chmod(0o700)
        self._log.touch()

    @property
    def script(self) -> Path:
        """What UNTORN_FFMPEG is to name."""
        return self.home / "ffmpeg"

    @property
    def _log(self) -> Path:
        return self.home / "decodes"

    def starts(self) -> int:
        """How many decoders have started so far."""
        return self._log.read_bytes().count(b"\n")


def written(requests: Sequence[Request]) -> str:
    """The requests as a composition file."""
    tables = []
    for one in requests:
        wanted = resolve(one)
        lines = [
            "[[clip]]",
            f"path = '''{wanted.path}'''",
            f'fps = "{wanted.range.fps}"',
            f'format = "{wanted.range.format}"',
            f'start = "{wanted.range.start_s}"',
        ]
        if wanted.range.duration_s is not None:
            lines.append(f'duration = "{wanted.range.duration_s}"')
        if wanted.range.quality is not None:
            lines.append(f"quality = {wanted.range.quality}")
        tables.append("\n".join(lines))
    return "\n\n".join(tables) + "\n"
