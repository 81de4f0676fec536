"""Extraction of the four fixed requests: cold beside bare ffmpeg, warm beside cold, in a crowd."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from untorn import Cache, Request, clip, command, decoder, request
from untorn_fixtures.errors import FixtureError
from untorn_fixtures.four_clips import four_clips
from untorn_fixtures.real import real_clip

from untorn_conformance.bench import crowd, population
from untorn_conformance.bench.plan import Ground
from untorn_conformance.bench.row import Goal, Of, Row, Unit, measured, not_measured
from untorn_conformance.bench.timing import Samples, interleave, seconds

_COLD = "cold extraction of four_clips"
_BARE = "the same ffmpeg commands, bare"
_WARM = "warm four_clips, probing included"
_HITS = "warm four_clips, extraction alone"
_COLD_GOAL = Goal(Of.RATIO, 1.05)
_WARM_GOAL = Goal(Of.SPEEDUP, 100)
_ONE_DECODE = Goal(Of.MEDIAN, 1)
_ALIKE = 4
_WARM_CALLS = 20


def measure(ground: Ground) -> list[Row]:
    """Every row about extraction; not measured if the clips cannot be had."""
    alike = f"{_ALIKE} identical cold requests at once"
    try:
        requests = [
            Request(
                clip=real_clip(wanted.clip),
                fps=wanted.fps,
                format=wanted.image_format.value,
                start=wanted.start_s,
                duration=wanted.duration_s,
                quality=wanted.quality,
            )
            for wanted in four_clips()[-ground.plan.clips :]
        ]
    except FixtureError as error:
        return [
            not_measured(_COLD, Unit.MS, str(error), _COLD_GOAL),
            not_measured(_WARM, Unit.MS, str(error), _WARM_GOAL),
            not_measured(alike, Unit.DECODES, str(error), _ONE_DECODE),
        ]
    ground.say("extraction of four_clips: cold, bare and warm")
    home = ground.fresh("decodes")
    with population.open_cache(home / "cache") as cache:
        rows = _cold_and_warm(ground, _Composition(cache, requests, home))
    ground.say(alike)
    return [*rows, _crowd(ground, home, requests[0], alike)]


@dataclass(slots=True)
class _Composition:
    """The requests of one composition, decoded in several ways; times in seconds."""

    cache: Cache
    requests: list[Request]
    home: Path
    composed: list[float] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def fingerprint(self) -> None:
        """Ask the decoder for its version and hash its file: once a machine, so not measured."""
        root = population.root_of(self.cache)
        decoder.fingerprint(decoder.find(os.environ), root.ctl_fd)

    def cold(self) -> list[float]:
        """Extraction into an empty cache; with probing it goes to `composed`."""
        self.cache.collect(budget_bytes=0, min_age_s=0)
        probing = self._probe()
        extracting = self._extract()
        self.composed.append(probing + extracting)
        return [extracting]

    def warm(self) -> list[float]:
        """Probing and extraction of what is there already."""
        return [self._probe() + self._extract() for _ in range(_WARM_CALLS)]

    def hits(self) -> list[float]:
        """Extraction of what is there already: it needs no probing."""
        return [self._extract() for _ in range(_WARM_CALLS)]

    def bare(self) -> list[float]:
        """The commands that extraction runs, each into a directory of its own."""
        ffmpeg = decoder.find(os.environ)
        total = 0.0
        for wanted in map(request.resolve, self.requests):
            line = command.command(ffmpeg, wanted.path, wanted.range, clip.probe(wanted.path))
            directory = self.home / f"bare-{next(self.numbers)}"
            directory.mkdir()
            total += seconds(partial(_run, line, directory))
        return [total]

    def _probe(self) -> float:
        clips = dict.fromkeys(os.fspath(each.clip) for each in self.requests)
        return sum(seconds(partial(clip.probe, path)) for path in clips)

    def _extract(self) -> float:
        total = 0.0
        for wanted in self.requests:
            start = time.perf_counter()
            frames = self.cache.extract(wanted)
            total += time.perf_counter() - start
            frames.release()
        return total


def _run(command: list[str], directory: Path) -> None:
    subprocess.run(
        command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True
    )


def _cold_and_warm(ground: Ground, composition: _Composition) -> list[Row]:
    rounds = ground.plan.heavy_rounds
    composition.fingerprint()
    samples = interleave(
        {
            _COLD: composition.cold,
            _WARM: composition.warm,
            _HITS: composition.hits,
            _BARE: composition.bare,
        },
        rounds,
        warm_up=False,
    )
    cold = Samples(tuple(composition.composed))
    return [
        measured(
            _COLD,
            Unit.MS,
            samples[_COLD],
            floor=(_BARE, samples[_BARE]),
            goal=_COLD_GOAL,
            note="the decoder's fingerprint, once a machine, is not in it",
        ),
        measured(
            _WARM,
            Unit.MS,
            samples[_WARM],
            floor=("cold, probing included", cold),
            goal=_WARM_GOAL,
            note="one process, imports excluded; each clip is probed once, though no hit needs it",
        ),
        measured(_HITS, Unit.MS, samples[_HITS], floor=(_COLD, samples[_COLD])),
    ]


def _crowd(ground: Ground, home: Path, wanted: Request, title: str) -> Row:
    """How many decoders ran when several processes wanted one thing at once."""
    rounds = max(1, ground.plan.heavy_rounds // 2)
    decodes = []
    for number in range(rounds):
        answers = crowd.run(
            "extraction", str(home / f"crowd-{number}"), os.fspath(wanted.clip), "1",
            processes=_ALIKE,
        )  # fmt: skip
        decodes.append(float(sum(counters.get("extracted", 0) for counters in answers)))
    return measured(
        title, Unit.DECODES, Samples(tuple(decodes)), goal=_ONE_DECODE,
        note=f"{rounds} rounds of {_ALIKE} processes, counted by the cache; most: {max(decodes):g}",
    )  # fmt: skip
