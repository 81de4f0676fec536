"""Renders of real clips: cold, warm, of overlapping and of equal ranges, and in a crowd."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from untorn import Cache, Request, clip, command, decoder, layout, probes, request
from untorn_fixtures.errors import FixtureError
from untorn_fixtures.four_clips import four_clips
from untorn_fixtures.real import real_clip

from untorn_conformance.bench import extract_crowd, population
from untorn_conformance.bench.extract_plan import Studio
from untorn_conformance.bench.row import Goal, Of, Row, Unit, measured, not_measured
from untorn_conformance.bench.timing import Samples, interleave, seconds

_COLD = "cold render of four_clips, one slot"
_BARE = "the same ffmpeg commands, bare, in turn"
_FREE = "cold render of four_clips, default slots"
_WARM = "warm render of four_clips, clips new to the process"
_OPENED = "warm render of four_clips, each clip opened"
_KNOWN = "warm render of four_clips, clips known to the process"
_HITS = "warm four_clips, a cache.extract each"
_COLD_GOAL = Goal(Of.RATIO, 1.05)
_WARM_GOAL = Goal(Of.SPEEDUP, 100)
_OVERLAP_S = 5  # of the clip's ten, each range one second after the one before
_OVERLAPPING_CLIP = "bikes"
_COPIED_CLIP = "carphone_pristine"


def measure(studio: Studio) -> list[Row]:
    """Every row about renders; not measured if the clips cannot be had."""
    try:
        requests = _four_clips(studio.plan.clips)
        overlapping, copies = _overlapping(studio.plan.overlapping), _copies(studio.plan.copies)
    except FixtureError as error:
        return [
            not_measured(_COLD, Unit.MS, str(error), _COLD_GOAL),
            not_measured(_WARM, Unit.MS, str(error), _WARM_GOAL),
        ]
    studio.say("four_clips: cold, bare and warm")
    home = studio.fresh("renders")
    with population.open_cache(home / "cache") as cache:
        scene = Scene(cache, home)
        rows = _cold_and_warm(studio, scene, requests)
        studio.say("ranges that overlap, and equal ranges")
        rows += _together(studio, scene, overlapping, copies)
    return [*rows, *extract_crowd.measure(studio, requests)]


def _four_clips(count: int) -> list[Request]:
    """The last `count` of the four requests."""
    return [
        Request(
            clip=real_clip(wanted.clip),
            fps=wanted.fps,
            format=wanted.image_format.value,
            start=wanted.start_s,
            duration=wanted.duration_s,
            quality=wanted.quality,
        )
        for wanted in four_clips()[-count:]
    ]


def _overlapping(count: int) -> list[Request]:
    return [
        Request(clip=real_clip(_OVERLAPPING_CLIP), fps=25, start=start_s, duration=_OVERLAP_S)
        for start_s in range(count)
    ]


def _copies(count: int) -> list[Request]:
    return [Request(clip=real_clip(_COPIED_CLIP), fps=25, duration=2)] * count


@dataclass(slots=True)
class Scene:
    """A cache, and room beside it for what is decoded without one. Times in seconds."""

    cache: Cache
    home: Path
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def fingerprint(self) -> None:
        """Ask the decoder for its version and hash its file: once a machine, so not measured."""
        root = population.root_of(self.cache)
        decoder.fingerprint(decoder.find(os.environ), root.ctl_fd)

    def render(self, requests: Sequence[Request], slots: int | None = None) -> float:
        """One render, to the frames in hand; clips that were probed before are not again."""

        def render() -> None:
            with self.cache.render(requests, slots=slots) as result:
                failed = [item for item in result.items if item.error is not None]
                assert not failed, f"the benchmark's own clips fail: {failed}"

        return seconds(render)

    def cold(self, requests: Sequence[Request], slots: int | None = None) -> float:
        """One render into an empty cache."""
        self.cache.collect(budget_bytes=0, min_age_s=0)
        return self.opening(requests, slots)

    def opening(self, requests: Sequence[Request], slots: int | None = None) -> float:
        """One render that opens each clip: neither process nor cache knows what is in it."""
        remembered = Path(population.root_of(self.cache).path, layout.CTL, layout.PROBES)
        remembered.unlink(missing_ok=True)
        return self.anew(requests, slots)

    def anew(self, requests: Sequence[Request], slots: int | None = None) -> float:
        """One render as the first of its process: the cache alone knows what is in a clip."""
        probes.forget()
        return self.render(requests, slots)

    def alone(self, requests: Sequence[Request]) -> float:
        """Each request in a render of its own, into an empty cache each time."""
        return sum(self.cold([one]) for one in requests)

    def extract(self, requests: Sequence[Request]) -> float:
        """A `cache.extract` for each request."""

        def extract() -> None:
            for wanted in requests:
                self.cache.extract(wanted).release()

        return seconds(extract)

    def bare(self, requests: Sequence[Request]) -> float:
        """The commands that extraction runs, each into a directory of its own."""
        ffmpeg = decoder.find(os.environ)
        total = 0.0
        for wanted in map(request.resolve, requests):
            line = command.command(ffmpeg, wanted.path, wanted.range, clip.probe(wanted.path))
            directory = self.home / f"bare-{next(self.numbers)}"
            directory.mkdir()
            total += seconds(partial(_run, line, directory))
        return total


def _run(command: list[str], directory: Path) -> None:
    subprocess.run(
        command, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True
    )


def _cold_and_warm(studio: Studio, scene: Scene, requests: list[Request]) -> list[Row]:
    scene.fingerprint()
    calls = range(studio.plan.warm_renders)
    samples = interleave(
        {
            _FREE: lambda: [scene.cold(requests)],
            _COLD: lambda: [scene.cold(requests, slots=1)],
            _WARM: lambda: [scene.anew(requests) for _ in calls],
            _OPENED: lambda: [scene.opening(requests) for _ in calls],
            _KNOWN: lambda: [scene.render(requests) for _ in calls],
            _HITS: lambda: [scene.extract(requests) for _ in calls],
            _BARE: lambda: [scene.bare(requests)],
        },
        studio.plan.rounds,
        warm_up=False,
    )
    cold = (_COLD, samples[_COLD])
    return [
        measured(
            _COLD,
            Unit.MS,
            samples[_COLD],
            floor=(_BARE, samples[_BARE]),
            goal=_COLD_GOAL,
            note="the decoder's fingerprint, once a machine, is not in it; the probing is",
        ),
        measured(_FREE, Unit.MS, samples[_FREE], floor=(_BARE, samples[_BARE])),
        measured(
            _WARM,
            Unit.MS,
            samples[_WARM],
            floor=cold,
            goal=_WARM_GOAL,
            note="one process, imports excluded, all that a render does included",
        ),
        measured(_OPENED, Unit.MS, samples[_OPENED], floor=cold),
        measured(_KNOWN, Unit.MS, samples[_KNOWN], floor=cold),
        measured(_HITS, Unit.MS, samples[_HITS], floor=cold),
    ]


def _together(
    studio: Studio, scene: Scene, overlapping: list[Request], copies: list[Request]
) -> list[Row]:
    """What one render of several ranges gains beside a render of each."""
    names = {
        f"cold render of {len(overlapping)} ranges of {_OVERLAP_S} s that overlap": overlapping,
        f"cold render of one range {len(copies)} times": copies,
    }
    rows = []
    for name, requests in names.items():
        samples = _beside_alone(studio, scene, name, requests)
        rows.append(
            measured(name, Unit.MS, samples[name], floor=("each alone", samples["each alone"]))
        )
    return rows


def _beside_alone(
    studio: Studio, scene: Scene, name: str, requests: list[Request]
) -> dict[str, Samples]:
    return interleave(
        {
            name: lambda: [scene.cold(requests)],
            "each alone": lambda: [scene.alone(requests)],
        },
        studio.plan.rounds,
        warm_up=False,
    )
