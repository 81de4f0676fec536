"""Ctrl-C during a render: every decoder ends, and nothing is left behind (C5)."""

import os
import random
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Request

Child = Callable[..., Any]
INTERRUPTS = 12
SEED = 20261123

# At each "go": renders four ranges of a clip, the first of which is there already; says how that
# ended, and what is left in this process: descriptors, children, entries that somebody holds.
RENDERS = """
import gc
def strike(*_signal):
    say("struck")
    raise KeyboardInterrupt
signal.signal(signal.SIGINT, strike)
sys.unraisablehook = lambda it: say(it.exc_value)  # such as frames that nobody released
requests = [Request(clip=sys.argv[2], fps=30, start=n / 5, duration=sys.argv[3]) for n in range(4)]
cache = Cache.open(sys.argv[1])
exec(sys.argv[4])
def render():
    result = None
    try:
        say("begins")
        result = cache.render(requests, slots=3)
        say("rendered")
    except KeyboardInterrupt:
        say("interrupted")
    if result is not None: result.release()
while True:
    cache.extract(requests[0]).release()
    before = len(os.listdir("/proc/self/fd"))
    say("ready")
    if hear() != "go": break
    render()
    gc.collect()
    try: children = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError: children = "no children"
    say(len(os.listdir("/proc/self/fd")) - before, "more descriptors,", children)
    left = cache.collect(budget_bytes=0, min_age_s=0)
    say(left.entries, dict(left.protected), os.listdir(sys.argv[1] + "/staging"))
"""
NOTHING_LEFT = ("0 more descriptors, no children", "0 {} []")


class Held:
    """A decoder that, once told to, writes its group into a FIFO and sleeps instead of decoding."""

    def __init__(self, folder: Path, decoder: Any) -> None:
        self.fifo, self.flag = folder / "started", folder / "hold"
        os.mkfifo(self.fifo)
        decoder.script(
            before=f"[ -e '{self.flag}' ] && {{ echo $$ > '{self.fifo}'; sleep 1000; exit 9; }}"
        )

    def hold(self) -> None:
        self.flag.touch()

    def let_go(self) -> None:
        """From now on decoders decode; those that sleep, sleep on."""
        self.flag.unlink()

    def groups(self, count: int) -> list[int]:
        """The process groups of the first `count` decoders or more."""
        groups: list[int] = []
        while len(groups) < count:
            groups += map(int, self.fifo.read_text().split())
        return groups


@pytest.fixture
def held(tmp_path: Path, decoder: Any) -> Held:
    return Held(tmp_path, decoder)


@pytest.fixture
def render(root: Path, sdr: Path, decoder: Any, child: Child) -> Callable[..., Any]:
    """A process that is ready to render when it is told to; code of its own may come before."""

    def start(code: str = "", *, duration: str = "0.1") -> Any:
        one = child(RENDERS, root, sdr, duration, code, UNTORN_FFMPEG=str(decoder.path))
        assert one.heard() == "ready"
        return one

    return start


def await_end(group: int) -> None:
    """Until nothing of a process group is left but what init has not reaped yet."""
    while any(_is_of(int(pid), group) for pid in os.listdir("/proc") if pid.isdigit()):
        os.sched_yield()


def _is_of(pid: int, group: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return int(words[2]) == group and words[0] != "Z"


def ends_clean(one: Any) -> bool:
    """Whether it was interrupted; in any case it has left nothing, and works on."""
    how: str = one.heard()
    if how == "struck":
        how = one.heard()
    assert how in ("rendered", "interrupted")
    assert (one.heard(), one.heard()) == NOTHING_LEFT
    return how == "interrupted"


@pytest.mark.parametrize("count", [1, 2, 3])
def test_interrupt_ends_all_decoders_and_leaves_nothing(
    render: Callable[..., Any], held: Held, count: int
) -> None:
    one = render()
    held.hold()
    one.tell()
    assert one.heard() == "begins"
    groups = held.groups(count)
    held.let_go()
    os.kill(one.pid, signal.SIGINT)
    assert ends_clean(one)
    for group in groups:
        await_end(group)


CLEANS_SLOWLY = """
from untorn.staging import Staging
real = Staging.release
def release(self):
    if "struck" in told and "cleans" not in told: say("cleans"); hear()
    real(self)
Staging.release, told = release, set()
real_say = say
def say(*words): told.update(map(str, words)); real_say(*words)
"""


def test_second_interrupt_does_not_keep_the_first_from_its_end(
    render: Callable[..., Any], held: Held
) -> None:
    one = render(CLEANS_SLOWLY)
    held.hold()
    one.tell()
    assert one.heard() == "begins"
    held.groups(3)
    held.let_go()
    for words in (["struck", "cleans"], ["struck"], ["struck"]):
        os.kill(one.pid, signal.SIGINT)
        assert [one.heard() for _ in words] == words
    one.tell()
    assert ends_clean(one)


def test_interrupt_ends_the_wait_for_another_one(
    render: Callable[..., Any], held: Held, clip_in_flight: Callable[[], Any]
) -> None:
    one = render(SAYS_THAT_IT_WAITS)
    held.hold()
    clip_in_flight()
    held.let_go()
    one.tell()
    assert (one.heard(), one.heard()) == ("begins", "waits")
    os.kill(one.pid, signal.SIGINT)
    assert (one.heard(), one.heard()) == ("struck", "interrupted")
    assert one.heard() == NOTHING_LEFT[0]


SAYS_THAT_IT_WAITS = """
from untorn.cancel import Cancel
real = Cancel.pause
def pause(self, seconds):
    if next(first, False): say("waits")
    real(self, seconds)
first, Cancel.pause = iter([True]), pause
"""
DECODES_THREE = """
cache = Cache.open(sys.argv[1])
cache.render(
    [Request(clip=sys.argv[2], fps=30, start=n / 5, duration="0.1") for n in (1, 2, 3)], slots=3
)
"""


@pytest.fixture
def clip_in_flight(
    root: Path, sdr: Path, decoder: Any, child: Child, held: Held
) -> Iterator[Callable[[], Any]]:
    """Start a process that is at three of the four extractions, and stays there."""
    groups: list[int] = []

    def start() -> None:
        child(DECODES_THREE, root, sdr, UNTORN_FFMPEG=str(decoder.path))
        groups.extend(held.groups(3))

    yield start
    for group in groups:
        os.killpg(group, signal.SIGKILL)


@pytest.mark.parametrize(
    ("duration", "decodes"), [("0.1", 4), ("0.3", 2)], ids=["apart", "overlapping"]
)
def test_interrupts_at_any_moment_leave_nothing(
    root: Path,
    sdr: Path,
    decoder: Any,
    render: Callable[..., Any],
    tmp_path: Path,
    duration: str,
    decodes: int,
) -> None:
    """SIGINT at drawn moments of a whole cold render, each on a cache with its first range."""
    chance = random.Random(SEED)
    decoder.script(before=f"echo $$ >> '{tmp_path}/groups'")
    one = render(duration=duration)
    began_s = time.perf_counter()
    assert not interrupted_at(one, None)
    assert decoder.decodes() == decodes
    whole_s = time.perf_counter() - began_s
    interrupted = 0
    while interrupted < INTERRUPTS:
        assert one.heard() == "ready"
        interrupted += interrupted_at(one, whole_s * chance.random())
    for group in (tmp_path / "groups").read_text().split():
        await_end(int(group))
    with Cache.open(root) as cache, cache.render([Request(clip=sdr, fps=30)]) as result:
        assert result[0].frames is not None
        assert len(result[0].frames) == 60


def interrupted_at(one: Any, moment_s: float | None) -> bool:
    """Let it render and interrupt it after so long; False if it was done by then."""
    one.tell()
    assert one.heard() == "begins"
    if moment_s is not None:
        ready, _, _ = select.select([one.process.stdout], [], [], moment_s)
        if not ready:
            os.kill(one.pid, signal.SIGINT)
    return ends_clean(one)


HASHES = """
real, large = clip._content_sha256, sys.argv[2] + ".large.mp4"
def told(*arguments):
    say("hashing")
    return real(*arguments)
clip._content_sha256 = told
requests[1:] = [Request(clip=large, fps=30, duration="0.1", identity="content")]
"""


def test_interrupt_does_not_wait_for_the_hash_of_a_large_clip(
    render: Callable[..., Any], sdr: Path
) -> None:
    """A tebibyte takes the better part of an hour."""
    large = sdr.with_name(f"{sdr.name}.large.mp4")
    large.write_bytes(sdr.read_bytes())
    os.truncate(large, 1 << 40)
    one = render(f"from untorn import clip{HASHES}")
    one.tell()
    assert (one.heard(), one.heard()) == ("begins", "hashing")
    os.kill(one.pid, signal.SIGINT)
    assert ends_clean(one)
