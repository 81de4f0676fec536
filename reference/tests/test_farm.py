"""A farm of one machine: renders in many processes do each extraction that they share once (P7)."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Request
from untorn_fixtures.clips import clip, ffmpeg_exe

REFERENCE = Path(__file__).resolve().parents[1]
LIMIT_S = 300
SEED = 20261123
RENDERS = int(os.environ.get("UNTORN_TEST_FARM", "4"))
"""How many at once; the nightly run has 16."""

Range = dict[str, Any]

TRACING_FFMPEG = """#!/bin/sh
case "$*" in *-version*) exec {ffmpeg} "$@";; esac
echo "$*" >> {log}
exec {ffmpeg} "$@"
"""
# Waits until all are ready, renders the ranges that it is told, and says what came of it.
RENDER = """
import hashlib, json, sys
from untorn import Cache, Request
import untorn.render
print("ready", flush=True)
wanted = json.loads(sys.stdin.readline())
with Cache.open() as cache, cache.render([Request(**one) for one in wanted], slots=2) as result:
    phases = result.phases
    frames = [
        [hashlib.sha256(item.frames.read(n)).hexdigest() for n in range(len(item.frames))]
        for item in result
    ]
print(json.dumps({
    "frames": frames, "extracted": phases.extracted, "hits": phases.hits,
    "missed": sum(phases.misses.values()), "deduplicated": phases.deduplicated,
    "published": phases.published, "adopted": phases.adopted, "degraded": dict(phases.degraded),
}))
"""


class Farm:
    """A root, a decoder that says what it is started for, and processes that render."""

    def __init__(self, folder: Path) -> None:
        self.root, self.log, self.wrapper = folder / "root", folder / "log", folder / "ffmpeg"
        self.wrapper.write_text(TRACING_FFMPEG.format(ffmpeg=ffmpeg_exe(), log=self.log))
        self.wrapper.chmod(0o755)
        self.processes: list[subprocess.Popen[str]] = []

    def start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", RENDER],
            env={
                **os.environ,
                "PYTHONPATH": str(REFERENCE),
                "UNTORN_CACHE_DIR": str(self.root),
                "UNTORN_FFMPEG": str(self.wrapper),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def decodes(self) -> Counter[str]:
        return Counter(self.log.read_text().splitlines())

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    new = Farm(tmp_path)
    yield new
    new.close()


@pytest.fixture
def clips(tmp_path: Path) -> list[Path]:
    return [Path(shutil.copyfile(clip(name), tmp_path / f"{name}.mp4")) for name in ("sdr", "ntsc")]


@dataclass(frozen=True)
class Outcome:
    """What each render was asked for, what it told, and the frames' digests of each range."""

    wanted: list[list[Range]]
    told: list[dict[str, Any]]
    frames: dict[str, list[str]]

    def sum_of(self, name: str) -> int:
        return sum(one[name] for one in self.told)


def render_all(farm: Farm, ranges: list[Range]) -> Outcome:
    """Each render wants most of the same ranges, in an order of its own, and one of them twice."""
    chance = random.Random(SEED)
    processes = [farm.start() for _ in range(RENDERS)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    wanted = []
    for process in processes:
        mine = chance.sample(ranges, 6)
        wanted.append([*mine, mine[0]])
        assert process.stdin is not None
        process.stdin.write(json.dumps(wanted[-1]) + "\n")
        process.stdin.flush()
    told = []
    for process in processes:
        out, _ = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0
        told.append(json.loads(out))
    frames: dict[str, list[str]] = {}
    for mine, one in zip(wanted, told, strict=True):
        for request, digests in zip(mine, one["frames"], strict=True):
            assert frames.setdefault(json.dumps(request), digests) == digests
    return Outcome(wanted=wanted, told=told, frames=frames)


def test_renders_that_share_clips_run_each_extraction_once(farm: Farm, clips: list[Path]) -> None:
    done = render_all(
        farm,
        [
            {"clip": str(path), "fps": 30, "start": start / 2, "duration": 0.2}
            for path in clips
            for start in range(4)
        ],
    )
    decodes = farm.decodes()
    assert set(decodes.values()) == {1}
    assert len(decodes) == len(done.frames) == done.sum_of("extracted") == done.sum_of("published")
    assert {one["hits"] + one["missed"] for one in done.told} == {6}
    assert [(one["deduplicated"], one["degraded"]) for one in done.told] == [(1, {})] * RENDERS
    assert {len(digests) for digests in done.frames.values()} == {6}
    assert len({tuple(digests) for digests in done.frames.values()}) == len(done.frames)


def test_renders_whose_ranges_overlap_make_each_range_once(
    farm: Farm, clips: list[Path], tmp_path: Path
) -> None:
    done = render_all(
        farm,
        [
            {"clip": str(path), "fps": 30, "start": start / 5, "duration": 0.4}
            for path in clips
            for start in range(8)
        ],
    )
    assert done.sum_of("published") == len(done.frames)
    assert done.sum_of("adopted") == 0
    assert farm.decodes().total() == done.sum_of("extracted") < len(done.frames)
    assert {one["hits"] + one["missed"] for one in done.told} == {6}
    with Cache.open(tmp_path / "alone") as alone:
        for text, digests in done.frames.items():
            with alone.extract(Request(**json.loads(text))) as frames:
                assert digests == [
                    hashlib.sha256(frames.read(n)).hexdigest() for n in range(len(frames))
                ]
