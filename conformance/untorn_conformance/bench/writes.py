"""Publishing: the step itself, and the whole write around it."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from pathlib import Path

from untorn import Cache, derive_key

from untorn_conformance.bench import peers, population
from untorn_conformance.bench.plan import Ground, Plan
from untorn_conformance.bench.row import Goal, Of, Row, Unit, measured
from untorn_conformance.bench.timing import Case, Samples, interleave

_FLOOR_STEP = "bare sentinel + rename"
_FLOOR_WHOLE = "mkdir + writes + sentinel + rename"
_OURS = "ours"
_FLOOR = "floor"
_WRITES_A_ROUND = 3

_Times = tuple[float, float]
"""Seconds of the publishing step, and of the whole write that it ends."""


def measure(ground: Ground) -> list[Row]:
    """Every row about writing an entry."""
    home = ground.fresh("writes")
    plan = ground.plan
    ground.say(f"writing entries of {plan.frames} x {plan.frame_bytes} bytes")
    with population.open_cache(home / "cache") as cache:
        steps, wholes = _take_turns(home, cache, plan)
    return [
        measured(
            "publish step, frames already written",
            Unit.US,
            steps[_OURS],
            floor=(_FLOOR_STEP, steps[_FLOOR]),
            goal=Goal(Of.RATIO, 3),
            tail=True,
            note="checks every frame, seals the manifest, counts the entry",
        ),
        measured(
            "whole write of an entry",
            Unit.MS,
            wholes[_OURS],
            floor=(_FLOOR_WHOLE, wholes[_FLOOR]),
            goal=Goal(Of.RATIO, 1.15),
        ),
    ]


def _take_turns(
    home: Path, cache: Cache, plan: Plan
) -> tuple[dict[str, Samples], dict[str, Samples]]:
    """Samples of the steps and of the whole writes, both from the same writes."""
    content = os.urandom(plan.frame_bytes)
    numbers = itertools.count()
    writers = {
        _OURS: lambda: _ours(cache, f"write {next(numbers)}", plan.frames, content),
        _FLOOR: lambda: _floor(home / f"entry-{next(numbers)}", plan.frames, content),
    }
    wholes: dict[str, list[float]] = {name: [] for name in writers}

    def case(name: str) -> Case:
        def turn() -> list[float]:
            times = [writers[name]() for _ in range(_WRITES_A_ROUND)]
            wholes[name].extend(whole for _, whole in times)
            return [step for step, _ in times]

        return turn

    steps = interleave({name: case(name) for name in writers}, plan.rounds)
    kept = plan.rounds * _WRITES_A_ROUND  # the warming round came first
    return steps, {name: Samples(tuple(values[-kept:])) for name, values in wholes.items()}


def _ours(cache: Cache, name: str, count: int, content: bytes) -> _Times:
    start = time.perf_counter()
    area = cache.stage(derive_key("bench", name))
    population.write_frames(area.path, count, content)
    written = time.perf_counter()
    frames = area.publish()
    end = time.perf_counter()
    frames.release()
    shutil.rmtree(frames.directory)
    return end - written, end - start


def _floor(final: Path, count: int, content: bytes) -> _Times:
    partial = final.with_suffix(".partial")
    start = time.perf_counter()
    os.mkdir(partial)
    population.write_frames(str(partial), count, content)
    written = time.perf_counter()
    os.close(os.open(partial / peers.SENTINEL, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    os.rename(partial, final)
    end = time.perf_counter()
    shutil.rmtree(final)
    return end - written, end - start
