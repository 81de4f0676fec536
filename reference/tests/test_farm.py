"""A farm of one machine: renders in many processes do each extraction that they share once (P7)."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from untorn_fixtures.clips import clip, ffmpeg_exe

REFERENCE = Path(__file__).resolve().parents[1]
LIMIT_S = 300
SEED = 20261123
RENDERS = int(os.environ.get("UNTORN_TEST_FARM", "4"))
"""How many at once; the nightly run has 16."""

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
    "waited": phases.waited, "published": phases.published, "degraded": dict(phases.degraded),
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


def test_renders_that_share_clips_run_each_extraction_once(farm: Farm, tmp_path: Path) -> None:
    """Each wants most of the same ranges, in an order of its own, and one of them twice."""
    chance = random.Random(SEED)
    clips = [shutil.copyfile(clip(name), tmp_path / f"{name}.mp4") for name in ("sdr", "ntsc")]
    ranges = [
        {"clip": str(path), "fps": 30, "start": start / 2, "duration": 0.2}
        for path in clips
        for start in range(4)
    ]
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
    asked = {json.dumps(one) for mine in wanted for one in mine}
    decodes = farm.decodes()
    assert set(decodes.values()) == {1}
    assert len(decodes) == len(asked) == sum(one["extracted"] for one in told)
    assert sum(one["published"] for one in told) == len(asked)
    assert {one["hits"] + one["missed"] for one in told} == {6}
    assert [(one["deduplicated"], one["degraded"]) for one in told] == [(1, {})] * RENDERS
    frames: dict[str, list[str]] = {}
    for mine, one in zip(wanted, told, strict=True):
        for request, digests in zip(mine, one["frames"], strict=True):
            assert len(digests) == 6
            assert frames.setdefault(json.dumps(request), digests) == digests
    assert len({tuple(digests) for digests in frames.values()}) == len(asked)
