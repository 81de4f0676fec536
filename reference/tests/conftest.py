"""Caches, frames, a clock to turn, and real child processes, for the tests of the cache."""

import gc
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Frames, Miss, Request, Result, events
from untorn_fixtures.clips import clip, ffmpeg_exe

REFERENCE = Path(__file__).resolve().parents[1]
FIXTURES = REFERENCE.parent / "fixtures"
CHILD_LIMIT_S = 60.0
NOBODY = 65534
FRAMES = {f"frame_{number:05d}.png": b"frame %d" % number for number in (1, 2, 3)}

# A child says one line a `say`, and waits for one line a `hear`. Where it is to be another user it
# drops to it after its imports: the interpreter's own files may be the first user's alone.
PRELUDE = """
import errno, os, signal, subprocess, sys, time
import untorn
from untorn import *
from untorn import accounting, collect as collecting, flight, lookup, root as rooting, syscalls
KEY = "{key}"
FRAMES = {frames!r}
def say(*words): print(*words, flush=True)
def hear(): return sys.stdin.readline().strip()
def fill(area, frames=FRAMES):
    for name, data in frames.items():
        with open(os.path.join(area.path, name), "wb") as file: file.write(data)
    return area
"""
DROP = """
import untorn.extract, av, ffmpeg, imageio_ffmpeg, encodings.idna
os.setgid({0}); os.setuid({0})
"""


class Child:
    """A real Python process that runs `code`; it ends with the test."""

    def __init__(self, code: str, *arguments: str, uid: int | None, env: Mapping[str, str]) -> None:
        prelude = PRELUDE.format(key="c" * 64, frames=FRAMES)
        if uid is not None and os.geteuid() == 0:
            prelude += DROP.format(uid)
        paths = os.pathsep.join([str(REFERENCE), str(FIXTURES)])
        self._buffer = b""
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", prelude + code, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths, **env},
        )
        self.pid = self.process.pid

    def heard(self) -> str:
        """The child's next line; "" if it ended."""
        assert self.process.stdout is not None
        pipe = self.process.stdout.fileno()
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([pipe], [], [], CHILD_LIMIT_S)
            assert ready, "the child said nothing"
            chunk = os.read(pipe, 65536)
            if not chunk:
                break
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode()

    def tell(self, line: str = "go") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def ended(self) -> int:
        """The child's exit code, once it has come to its end by itself."""
        return self.process.wait(CHILD_LIMIT_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process.wait()


class Clock:
    """Seconds since the epoch, turned by hand; it starts at the real time."""

    def __init__(self) -> None:
        self.now_s = float(int(time.time()))  # whole, so that sums are exact

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("UNTORN_CACHE")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_warning_given_yet() -> None:
    """Each test is a new process, as far as "one warning a process and cause" goes."""
    events._forget_warnings()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where a cache may make its root."""
    return tmp_path / "root"


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until it is turned."""
    return Clock()


@pytest.fixture
def key_of() -> Callable[[int], str]:
    """Keys that sort as their numbers do."""
    return lambda number: f"{number:064x}"


@pytest.fixture
def key() -> str:
    """The key that children know as KEY."""
    return "c" * 64


@pytest.fixture
def frames() -> dict[str, bytes]:
    """Three small frames that differ."""
    return dict(FRAMES)


@pytest.fixture
def open_cache(root: Path) -> Iterator[Callable[..., Cache]]:
    """Open caches, on `root` unless another is named, that are closed at the end."""
    with ExitStack() as stack:
        yield lambda where=root, **settings: stack.enter_context(Cache.open(where, **settings))


@pytest.fixture
def cache(open_cache: Callable[..., Cache]) -> Cache:
    """An open cache with every setting at its default."""
    return open_cache()


@pytest.fixture
def put() -> Callable[..., Frames]:
    """Stage and publish frames; the lease is released unless `hold`."""

    def publish(
        cache: Cache, key: str, files: Mapping[str, bytes] | None = None, *, hold: bool = False
    ) -> Frames:
        with cache.stage(key) as area:
            for name, data in (FRAMES if files is None else files).items():
                Path(area.path, name).write_bytes(data)
            published = area.publish()
        if not hold:
            published.release()
        return published

    return publish


@pytest.fixture
def hit() -> Callable[[Cache, str], Frames]:
    """Look a key up that has to hit."""

    def look(cache: Cache, key: str) -> Frames:
        found = cache.lookup(key)
        assert isinstance(found, Frames), found
        return found

    return look


@pytest.fixture
def miss() -> Callable[[Cache, str], Miss]:
    """Look a key up that has to miss."""

    def look(cache: Cache, key: str) -> Miss:
        found = cache.lookup(key)
        if isinstance(found, Frames):
            found.release()
        assert isinstance(found, Miss), found
        return found

    return look


@pytest.fixture
def just_before(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let something happen just before one call of a real function: just_before(module, name, act).

    That is an interleaving with another process, brought about on purpose; the call is still made.
    """

    def interleave(module: object, name: str, act: Callable[[], object], *, call: int = 1) -> None:
        real = getattr(module, name)
        calls = 0

        def with_act(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == call:
                act()
            return real(*arguments, **named)

        monkeypatch.setattr(module, name, with_act)

    return interleave


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    """Start real processes: child(code, *arguments, uid=None, **environment)."""
    with ExitStack() as stack:

        def start(code: str, *arguments: object, uid: int | None = None, **env: str) -> Child:
            one = Child(code, *map(str, arguments), uid=uid, env=env)
            stack.callback(one.close)
            return one

        yield start


@pytest.fixture
def nobody() -> int:
    """The user that children of root drop to; our own where we are not root."""
    return NOBODY if os.geteuid() == 0 else os.geteuid()


@pytest.fixture
def open_path(nobody: int) -> Iterator[Path]:
    """A directory that `nobody` owns and can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="untorn-test-") as name:
        os.chown(name, nobody, -1)
        yield Path(name)


class ScriptedDecoder:
    """The real ffmpeg behind a script: counts its decodes, and does what it is told around them."""

    def __init__(self, folder: Path) -> None:
        self.path, self._log = folder / "ffmpeg.sh", folder / "decodes"
        self._real = ffmpeg_exe()  # before UNTORN_FFMPEG names this script
        self.script()

    def script(self, *, before: str = "", after: str = "", decode: bool = True) -> None:
        """Shell lines before and after the decode, whose exit code is the script's."""
        real = self._real
        self.path.write_text(
            f"""#!/bin/sh
case "$*" in *-version*) exec "{real}" "$@";; esac
echo decode >> "{self._log}"
{before}
{f'"{real}" "$@"' if decode else ":"}
code=$?
{after}
exit $code
"""
        )
        self.path.chmod(0o755)

    def decodes(self) -> int:
        return len(self._log.read_text().splitlines()) if self._log.exists() else 0


@pytest.fixture
def decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedDecoder:
    """The decoder that UNTORN_FFMPEG names; hashed at once, where the real one takes a second."""
    folder = tmp_path / "decoder"
    folder.mkdir()
    one = ScriptedDecoder(folder)
    monkeypatch.setenv("UNTORN_FFMPEG", str(one.path))
    return one


@pytest.fixture
def sdr(tmp_path: Path) -> Path:
    """A copy of the plain clip, which can be written to."""
    return Path(shutil.copyfile(clip("sdr"), tmp_path / "sdr.mp4"))


@pytest.fixture
def expected(sdr: Path, tmp_path: Path, decoder: ScriptedDecoder) -> list[bytes]:
    """The bytes of the six frames, from a cache that nothing is wrong with."""
    assert decoder.decodes() == 0
    request = Request(clip=sdr, fps=30, duration="0.2")
    with Cache.open(tmp_path / "sound") as sound, sound.extract(request) as frames:
        return [frames.read(index) for index in range(len(frames))]


@pytest.fixture
def alone(tmp_path: Path, sdr: Path, decoder: ScriptedDecoder) -> list[bytes]:
    """Twelve frames from half a second on, as they are decoded alone, in another root."""
    assert decoder.decodes() == 0
    with (
        Cache.open(tmp_path / "alone") as other,
        other.extract(Request(clip=sdr, fps=30, start="0.5", duration="0.4")) as frames,
    ):
        return [frames.read(index) for index in range(len(frames))]


@pytest.fixture
def whole_key(cache: Cache, sdr: Path, alone: list[bytes]) -> str:
    """The key of the whole clip, which is warm."""
    assert alone
    with cache.extract(Request(clip=sdr, fps=30)) as frames:
        return frames.key


@pytest.fixture
def empty(root: Path) -> Callable[[], bool]:
    """Whether the cache holds no entry and no debris."""
    places = [root / name for name in ("v1", "staging", "trash")]
    return lambda: [path for place in places for path in place.iterdir()] == []


@pytest.fixture
def fill(
    cache: Cache, clock: Clock, key_of: Callable[[int], str], put: Callable[..., Frames]
) -> Callable[..., None]:
    """Publish entries of one size, each a minute after the one before; an hour and more ago."""

    def publish(numbers: Sequence[int]) -> None:
        clock.now_s -= 2 * 3600.0
        for number in numbers:
            clock.now_s += 60
            put(cache, key_of(number), {"f1": bytes(10_000)})
        clock.now_s += 2 * 3600.0 - 60 * len(numbers)

    return publish


@pytest.fixture
def left(root: Path) -> Callable[[], list[int]]:
    """The numbers of the keys that are left."""
    return lambda: sorted(int(path.name, 16) for path in (root / "v1").iterdir())


@pytest.fixture
def tree() -> Callable[[Path], dict[str, tuple[Any, ...]]]:
    """Everything below a directory that a change would show in: mode, size, mtime, inode, bytes."""

    def look(top: Path) -> dict[str, tuple[Any, ...]]:
        seen = {}
        for path in [top, *sorted(top.rglob("*"))]:
            status = path.lstat()
            data = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
            facts = (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ino, data)
            seen[str(path.relative_to(top))] = facts
        return seen

    return look


@pytest.fixture
def descriptors() -> Callable[[], int]:
    """How many descriptors this process has open, but for those of what nobody refers to."""

    def count() -> int:
        gc.collect()  # a caught exception keeps what its traceback saw until then
        return len(os.listdir("/proc/self/fd"))

    return count


@pytest.fixture
def render(cache: Cache) -> Iterator[Callable[..., Result]]:
    """Render with `cache`; everything is released at the end."""
    with ExitStack() as stack:
        yield lambda *requests, **named: stack.enter_context(cache.render(requests, **named))


@pytest.fixture
def apart() -> Callable[[Request], list[bytes]]:
    """The bytes of one request, extracted without any cache."""
    off = Cache.open(environ={"UNTORN_CACHE_DIR": "off"})

    def extract(request: Request) -> list[bytes]:
        with off.extract(request) as frames:
            return [frames.read(index) for index in range(len(frames))]

    return extract
