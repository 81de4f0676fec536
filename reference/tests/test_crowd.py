"""Many processes and sudden deaths: real `untorn extract` processes on one cold clip."""

import contextlib
import hashlib
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from untorn import Cache, Frames, Request
from untorn_fixtures.clips import clip, ffmpeg_exe

REFERENCE = Path(__file__).resolve().parents[1]
LIMIT_S = 120
CROWD = 8
KILLS = 50
SEED = 20261122

# Each decode (and no `-version`) adds a line to the log; the first one may be held at a FIFO.
COUNTING_FFMPEG = """#!/bin/sh
case "$*" in *-version*) exec {ffmpeg} "$@";; esac
echo decode >> {log}
if [ -p {gate} ] && mkdir {gate}.taken 2> /dev/null; then echo $$ > {gate}; read go < {gate}; fi
exec {ffmpeg} "$@"
"""


class Crowd:
    """A root, a counting decoder, and processes that extract the same clip."""

    def __init__(self, folder: Path) -> None:
        self.root, self.log, self.gate = folder / "root", folder / "log", folder / "gate"
        self.wrapper = folder / "ffmpeg"
        self.wrapper.write_text(
            COUNTING_FFMPEG.format(ffmpeg=ffmpeg_exe(), log=self.log, gate=self.gate)
        )
        self.wrapper.chmod(0o755)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        arguments = ["-m", "untorn", "extract", str(clip("sdr")), "--fps", "30", "--json"]
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env={
                **os.environ,
                "PYTHONPATH": str(REFERENCE),
                "UNTORN_CACHE_DIR": str(self.root),
                "UNTORN_FFMPEG": str(self.wrapper),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.processes.append(process)
        return process

    def decodes(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Crowd]:
    new = Crowd(tmp_path)
    yield new
    new.close()


def told(process: subprocess.Popen[bytes]) -> dict[str, object]:
    out, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, errors
    answer: dict[str, object] = json.loads(out)
    return answer


def digest(frames: Frames) -> list[str]:
    return [hashlib.sha256(frames.read(n)).hexdigest() for n in range(len(frames))]


def test_eight_processes_with_one_cold_clip_decode_once(crowd: Crowd) -> None:
    answers = [told(process) for process in [crowd.start() for _ in range(CROWD)]]
    assert crowd.decodes() == 1
    assert sorted(str(answer["delivery"]) for answer in answers) == ["hit"] * 7 + ["published"]
    assert len({str(answer["directory"]) for answer in answers}) == 1


def test_when_the_one_that_works_is_killed_another_takes_over(crowd: Crowd) -> None:
    os.mkfifo(crowd.gate)
    first = crowd.start()
    decoder = int(crowd.gate.read_text())  # it is about to decode, and waits at the gate
    others = [crowd.start() for _ in range(3)]
    first.kill()
    first.wait(LIMIT_S)
    answers = [told(process) for process in others]
    assert crowd.decodes() == 2
    assert sorted(str(answer["delivery"]) for answer in answers) == ["hit", "hit", "published"]
    os.kill(decoder, signal.SIGKILL)  # the orphan, which still waits at the gate


def test_an_orphaned_decoder_is_not_swept_from_under_itself(crowd: Crowd) -> None:
    os.mkfifo(crowd.gate)
    first = crowd.start()
    decoder = int(crowd.gate.read_text())
    first.kill()
    first.wait(LIMIT_S)
    with Cache.open(crowd.root, clock=lambda: time.time() + 3600) as later:
        later.collect(budget_bytes=0, min_age_s=0)
        assert len(os.listdir(crowd.root / "staging")) == 1
        os.kill(decoder, signal.SIGKILL)
        while os.path.exists(f"/proc/{decoder}/exe"):  # nobody of ours: init reaps it
            os.sched_yield()
        later.collect(budget_bytes=0, min_age_s=0)
        assert os.listdir(crowd.root / "staging") == []


def test_fifty_kills_mid_extract_leave_a_cache_that_works(
    crowd: Crowd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL at random moments; the next call is whole, and gc leaves nothing behind."""
    chance = random.Random(SEED)
    monkeypatch.setenv("UNTORN_FFMPEG", str(crowd.wrapper))
    request = Request(clip=clip("sdr"), fps=30)
    started_s = time.perf_counter()
    assert told(crowd.start())["delivery"] == "published"
    whole_s = time.perf_counter() - started_s
    with Cache.open(crowd.root, clock=lambda: time.time() + 3600) as cache:
        with cache.extract(request) as frames:
            expected = digest(frames)
        killed = 0
        while killed < KILLS:
            cache.collect(budget_bytes=0, min_age_s=0)
            started_s = time.perf_counter()
            if _kill_at(crowd.start(), whole_s * chance.random()):
                killed += 1
            else:  # else most would be over, where the first took long
                whole_s = min(whole_s, time.perf_counter() - started_s)
            with cache.extract(request) as frames:
                assert digest(frames) == expected, f"after kill {killed} of seed {SEED}"
        _wait_for_orphans(crowd.wrapper, crowd.root)
        cache.collect(budget_bytes=0, min_age_s=0)
    places = [crowd.root / name for name in ("v1", "staging", "trash")]
    assert [path for place in places for path in place.iterdir()] == []


def _kill_at(process: subprocess.Popen[bytes], moment_s: float) -> bool:
    """Kill after `moment_s`; False if the process had come to its end by itself."""
    try:
        process.communicate(timeout=moment_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return process.returncode == -signal.SIGKILL
    assert process.returncode == 0
    return False


def _wait_for_orphans(wrapper: Path, root: Path) -> None:
    """Decoders whose parents were killed come to their end; until then their staging is theirs."""
    assert shutil.which(str(wrapper))
    while orphans := [int(pid) for pid in os.listdir("/proc") if _works_in(pid, root)]:
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):  # it has ended since
                ending = os.pidfd_open(pid)
                assert select.select([ending], [], [], LIMIT_S)[0]
                os.close(ending)


def _works_in(pid: str, root: Path) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/cwd").startswith(str(root))
    except OSError:
        return False
