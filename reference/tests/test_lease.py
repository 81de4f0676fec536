"""A lease lives as long as its process holds it, and no longer (contract R4, E1, E2)."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Collected, EvictedError, Frames

Child = Callable[..., Any]
Put = Callable[..., Frames]
Hit = Callable[[Cache, str], Frames]


@pytest.fixture
def cache(open_cache: Callable[..., Cache]) -> Cache:
    """A cache in which nothing but a lease protects an entry."""
    return open_cache(min_age_s=0)


def evictable(cache: Cache) -> int:
    done = cache.collect(budget_bytes=0)
    assert isinstance(done, Collected)
    return done.evicted


HOLD = """
cache = Cache.open(sys.argv[1])
frames = cache.lookup(KEY)
say("held")
hear()
"""


def test_leased_entry_is_not_evicted(cache: Cache, key: str, put: Put) -> None:
    with put(cache, key, hold=True):
        assert evictable(cache) == 0
    assert evictable(cache) == 1


def test_lease_of_the_staging_is_the_lease_of_the_entry(
    cache: Cache, child: Child, root: Path
) -> None:
    writer = child(
        """
frames = fill(Cache.open(sys.argv[1], min_age_s=0).stage(KEY)).publish()
say("published"); hear(); frames.release(); say("released"); hear()
""",
        root,
    )
    assert writer.heard() == "published"
    assert evictable(cache) == 0
    writer.tell()
    assert writer.heard() == "released"
    assert evictable(cache) == 1


def test_frames_stay_readable_wherever_the_entry_is_renamed(
    cache: Cache, root: Path, key: str, put: Put
) -> None:
    with put(cache, key, hold=True) as frames:
        (root / "v1" / key).rename(root / "elsewhere")
        assert frames.read(0) == b"frame 1"


def test_each_lease_holds_by_itself(cache: Cache, key: str, put: Put, hit: Hit) -> None:
    put(cache, key)
    one, two = hit(cache, key), hit(cache, key)
    one.release()
    assert evictable(cache) == 0
    two.release()
    assert evictable(cache) == 1


def test_released_twice_is_released_once(cache: Cache, key: str, put: Put, hit: Hit) -> None:
    put(cache, key)
    one, two = hit(cache, key), hit(cache, key)
    one.release()
    one.release()
    assert evictable(cache) == 0
    two.release()


def test_released_frames_are_not_read(cache: Cache, key: str, put: Put) -> None:
    frames = put(cache, key)
    with pytest.raises(EvictedError):
        frames.read(0)


def test_lease_takes_one_descriptor(
    cache: Cache, key: str, put: Put, hit: Hit, descriptors: Callable[[], int]
) -> None:
    put(cache, key)
    before = descriptors()
    held = [hit(cache, key) for _ in range(5)]
    assert descriptors() == before + 5
    for frames in held:
        frames.release()
    assert descriptors() == before


def test_stopped_reader_is_protected_and_a_killed_one_is_not(
    cache: Cache, root: Path, key: str, put: Put, child: Child
) -> None:
    put(cache, key)
    reader = child(HOLD, root)
    assert reader.heard() == "held"
    reader.stop()
    os.utime(root / "v1" / key, (1, 1))
    assert evictable(cache) == 0
    reader.kill()
    assert evictable(cache) == 1


def test_hold_of_one_entry_blocks_no_collect_of_others(
    cache: Cache, root: Path, key: str, key_of: Callable[[int], str], put: Put, child: Child
) -> None:
    put(cache, key)
    put(cache, key_of(1))
    reader = child(HOLD, root)
    assert reader.heard() == "held"
    reader.stop()
    assert evictable(cache) == 1
    assert [path.name for path in (root / "v1").iterdir()] == [key]


# Forks are made in a child of the test: the test's own process may have other threads.
FORK = """
cache = Cache.open(sys.argv[1], min_age_s=0)
{before}
down, up = os.pipe()
born, bear = os.pipe()
pid = os.fork()
if pid == 0:
    os.close(up)
    os.write(bear, b".")
    {in_child}
    os.read(down, 1)  # until the parent is done
    os._exit(0)
os.close(down)
os.read(born, 1)  # what the child does after the fork is done
{in_parent}
os.close(up)
say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def forked(before: str, in_child: str, in_parent: str) -> str:
    return FORK.format(before=before, in_child=in_child, in_parent=in_parent)


def test_forked_child_keeps_no_lease_of_its_parent(
    root: Path, key: str, cache: Cache, put: Put, child: Child
) -> None:
    put(cache, key)
    parent = child(
        forked(
            "frames = cache.lookup(KEY)",
            "pass",
            "frames.release(); say(cache.collect(budget_bytes=0).evicted)",
        ),
        root,
    )
    assert (parent.heard(), parent.heard()) == ("1", "0")


def test_lease_of_the_parent_outlives_the_child(
    root: Path, key: str, cache: Cache, put: Put, child: Child
) -> None:
    put(cache, key)
    parent = child(
        """
cache = Cache.open(sys.argv[1], min_age_s=0)
frames = cache.lookup(KEY)
pid = os.fork()
if pid == 0:
    frames.release()
    os._exit(0)
os.waitpid(pid, 0)
say(cache.collect(budget_bytes=0).evicted, frames.read(0).decode())
frames.release()
""",
        root,
    )
    assert parent.heard() == "0 frame 1"


def test_inherited_frames_are_released_in_the_child(
    root: Path, key: str, cache: Cache, put: Put, child: Child
) -> None:
    put(cache, key)
    parent = child(
        forked("frames = cache.lookup(KEY)", "say(frames.released)", "frames.release()"), root
    )
    assert (parent.heard(), parent.heard()) == ("True", "0")


def test_forked_child_removes_no_staging_of_its_parent(root: Path, child: Child) -> None:
    parent = child(
        """
cache = Cache.open(sys.argv[1])
area = fill(cache.stage(KEY))
pid = os.fork()
if pid == 0:
    area.abandon()
    os._exit(0)
os.waitpid(pid, 0)
with area.publish() as frames: say(frames.delivery)
""",
        root,
    )
    assert parent.heard() == "published"


def test_forked_child_uses_the_cache_by_itself(
    root: Path, key: str, cache: Cache, put: Put, child: Child
) -> None:
    put(cache, key)
    parent = child(
        forked(
            "frames = cache.lookup(KEY)",
            "own = cache.lookup(KEY); say(own.read(0).decode())",
            "hear(); frames.release(); say(cache.collect(budget_bytes=0).evicted)",
        ),
        root,
    )
    assert parent.heard() == "frame 1"
    parent.tell()
    assert (parent.heard(), parent.heard()) == ("0", "0")


def test_forked_child_counts_for_itself(
    root: Path, key: str, cache: Cache, put: Put, child: Child
) -> None:
    put(cache, key)
    parent = child(
        """
cache = Cache.open(sys.argv[1])
cache.lookup(KEY).release()
pid = os.fork()
cache.lookup(KEY).release()
cache.close()
if pid == 0: os._exit(0)
os.waitpid(pid, 0)
""",
        root,
    )
    assert parent.ended() == 0
    assert cache.stats().handed_in["hit"] == 3


# What another thread holds at the moment of a fork is never let go in the child.
FORK_MEANWHILE = """
import threading
cache = Cache.open(sys.argv[1], min_age_s=0)
root = cache.access.root()
inside, leave = threading.Event(), threading.Event()
def hold():
    {hold}
thread = threading.Thread(target=hold); thread.start(); inside.wait()
import warnings; warnings.simplefilter("ignore")  # 3.12 warns about forks with threads
down, up = os.pipe()
born, bear = os.pipe()
pid = os.fork()
if pid == 0:
    os.close(up)
    os.write(bear, b".")
    signal.alarm(20)
    {in_child}
    os.read(down, 1)
    os._exit(0)
os.close(down)
os.read(born, 1)
leave.set(); thread.join()
{in_parent}
os.close(up)
say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def fork_meanwhile(hold: str, *, in_child: str = "pass", in_parent: str = "pass") -> str:
    return FORK_MEANWHILE.format(hold=hold, in_child=in_child, in_parent=in_parent)


@pytest.mark.parametrize("lock", ["cache.access._place.lock", "cache.access.counters._lock"])
def test_child_does_not_wait_for_a_lock_of_a_thread_that_it_does_not_have(
    root: Path, child: Child, lock: str
) -> None:
    parent = child(
        fork_meanwhile(
            f"with {lock}: inside.set(); leave.wait()",
            in_child="cache.access.reopen(); cache.lookup(KEY); say('looked up')",
        ),
        root,
    )
    assert (parent.heard(), parent.heard()) == ("looked up", "0")


def test_collectors_lock_is_not_kept_by_a_child(root: Path, child: Child) -> None:
    parent = child(
        fork_meanwhile(
            "with syscalls.opened('gc.lock', os.O_RDWR, dir_fd=root.ctl_fd) as fd:\n"
            "        syscalls.lock_exclusive(fd); inside.set(); leave.wait()",
            in_parent="say(type(cache.collect()).__name__)",
        ),
        root,
    )
    assert (parent.heard(), parent.heard()) == ("Collected", "0")


def test_descriptor_of_a_block_in_the_forking_thread_stays_open(root: Path, child: Child) -> None:
    parent = child(
        """
root = Cache.open(sys.argv[1]).access.root()
with syscalls.opened("gc.lock", os.O_RDWR, dir_fd=root.ctl_fd) as fd:
    pid = os.fork()
    os.fstat(fd)
if pid == 0: os._exit(7)
say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
""",
        root,
    )
    assert parent.heard() == "7"


@pytest.mark.parametrize("again", [False, True], ids=["published", "hit"])
def test_lease_is_not_leaked_through_exec(
    cache: Cache, key: str, put: Put, hit: Hit, again: bool
) -> None:
    frames = put(cache, key, hold=True)
    if again:
        frames.release()
        frames = hit(cache, key)
    sleeper = subprocess.Popen(
        [sys.executable, "-S", "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        close_fds=False,
    )
    try:
        assert sleeper.stdout is not None
        sleeper.stdout.readline()
        frames.release()
        assert evictable(cache) == 1
    finally:
        sleeper.send_signal(signal.SIGKILL)
        sleeper.communicate()


def test_frames_that_are_never_released_warn_and_let_go(cache: Cache, key: str, put: Put) -> None:
    held = [put(cache, key, hold=True)]
    with pytest.warns(ResourceWarning, match="never released"):
        held.clear()
    assert evictable(cache) == 1


def test_frames_let_go_though_warnings_are_errors(root: Path, child: Child) -> None:
    one = child(
        """
sys.unraisablehook = lambda _: say("warned")
frames = fill(Cache.open(sys.argv[1], budget_bytes=1).stage(KEY)).publish()
del frames
say(os.listdir(os.path.join(sys.argv[1], "staging")))
""",
        root,
    )
    assert (one.heard(), one.heard()) == ("warned", "[]")


def test_staging_area_that_is_dropped_is_unlocked(
    cache: Cache, key: str, descriptors: Callable[[], int]
) -> None:
    before = descriptors()
    area = cache.stage(key)
    del area
    gc.collect()
    assert descriptors() == before
