"""Lookup: a complete hit or a miss with its reason, whatever was done to the entry (R, T, S3)."""

import errno
import fcntl
import json
import os
import resource
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Delivery, Frames, KeyInputError, Miss, MissReason

OpenCache = Callable[..., Cache]
Put = Callable[..., Frames]
Hit = Callable[[Cache, str], Frames]
LookedUp = Callable[[Cache, str], Miss]
RESOLUTION_S = 300.0


@pytest.fixture
def cache(open_cache: OpenCache, clock: Any) -> Cache:
    """A cache whose clock is turned by hand."""
    return open_cache(clock=clock, recency_resolution_s=RESOLUTION_S)


@pytest.fixture
def entry(cache: Cache, root: Path, key: str, put: Put) -> Path:
    """A published entry of three frames."""
    put(cache, key)
    return root / "v1" / key


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o600)
    path.write_bytes(data)
    path.chmod(0o444)


def edit_header(entry: Path, **fields: object) -> None:
    lines = (entry / "manifest").read_bytes().split(b"\n")
    lines[0] = json.dumps({**json.loads(lines[0]), **fields}).encode()
    overwrite(entry / "manifest", b"\n".join(lines))


# --- hits


def test_hit_gives_the_published_frames_in_order(
    cache: Cache, entry: Path, key: str, hit: Hit, frames: dict[str, bytes]
) -> None:
    with hit(cache, key) as found:
        assert found.names == tuple(frames)
        assert found.paths == [str(entry / name) for name in frames]
        assert [found.read(index) for index in range(3)] == list(frames.values())
        assert found.delivery is Delivery.HIT


def test_frames_past_the_names_width_come_in_numeric_order(
    cache: Cache, key: str, put: Put, hit: Hit
) -> None:
    numbers = range(99_998, 100_003)
    put(cache, key, {f"frame_{number:05d}.png": b"%d" % number for number in numbers})
    with hit(cache, key) as found:
        assert [found.read(index) for index in range(5)] == [b"%d" % n for n in numbers]


def test_hit_sees_whole_entry_of_another_process(
    cache: Cache, root: Path, key: str, hit: Hit, child: Callable[..., Any]
) -> None:
    child("fill(Cache.open(sys.argv[1]).stage(KEY)).publish().release()", root).ended()
    with hit(cache, key) as found:
        assert len(found) == 3


def test_hit_within_the_resolution_writes_nothing(
    cache: Cache, entry: Path, key: str, hit: Hit, clock: Any
) -> None:
    before = entry.stat().st_mtime_ns
    clock.now_s += RESOLUTION_S
    hit(cache, key).release()
    assert entry.stat().st_mtime_ns == before


def test_hit_past_the_resolution_writes_recency(
    cache: Cache, entry: Path, key: str, hit: Hit, clock: Any
) -> None:
    clock.now_s += RESOLUTION_S + 1
    hit(cache, key).release()
    assert entry.stat().st_mtime == pytest.approx(clock.now_s, abs=1e-5)


def test_recency_from_the_future_becomes_now(
    cache: Cache, entry: Path, key: str, hit: Hit, clock: Any
) -> None:
    clock.now_s -= 86400
    hit(cache, key).release()
    assert entry.stat().st_mtime == pytest.approx(clock.now_s, abs=1e-5)


def test_long_hold_writes_recency_at_its_end(
    cache: Cache, entry: Path, key: str, hit: Hit, clock: Any
) -> None:
    with hit(cache, key):
        clock.now_s += RESOLUTION_S + 1
    assert entry.stat().st_mtime == pytest.approx(clock.now_s, abs=1e-5)


def test_short_hold_writes_nothing_at_its_end(
    cache: Cache, entry: Path, key: str, hit: Hit, clock: Any
) -> None:
    before = entry.stat().st_mtime_ns
    with hit(cache, key):
        clock.now_s += RESOLUTION_S
    assert entry.stat().st_mtime_ns == before


# --- misses


def test_nothing_there_is_absent(cache: Cache, key: str, miss: LookedUp) -> None:
    assert miss(cache, key).reason is MissReason.ABSENT


@pytest.mark.parametrize("name", ["", "../v1", "a" * 63, "A" * 64, "a" * 64 + "/"])
def test_name_that_is_no_key_never_reaches_the_disk(cache: Cache, name: str) -> None:
    with pytest.raises(KeyInputError):
        cache.lookup(name)


def remove_manifest(entry: Path) -> None:
    (entry / "manifest").unlink()


def cut(path: Path, size: int) -> None:
    path.chmod(0o600)  # entries are read-only, also for their owner
    os.truncate(path, size)


def cut_manifest(entry: Path) -> None:
    cut(entry / "manifest", 40)


def zero_manifest(entry: Path) -> None:
    cut(entry / "manifest", 0)


def remove_everything(entry: Path) -> None:
    for path in entry.iterdir():
        path.unlink()


def seal_under_another_key(entry: Path) -> None:
    edit_header(entry, key="d" * 64)


def fill_manifest_with_noise(entry: Path) -> None:
    overwrite(entry / "manifest", b"\xff\x00noise\n")


def seal_with_an_older_schema(entry: Path) -> None:
    edit_header(entry, v=0)


def seal_in_another_boot(entry: Path) -> None:
    edit_header(entry, boot="00000000-0000-0000-0000-000000000000")


def put_a_file_in_its_place(entry: Path) -> None:
    move_aside(entry)
    entry.write_text("not an entry")


def put_a_symlink_in_its_place(entry: Path) -> None:
    move_aside(entry)
    entry.symlink_to(entry.with_name("aside"))


def put_a_fifo_in_its_place(entry: Path) -> None:
    move_aside(entry)
    os.mkfifo(entry)


def move_aside(entry: Path) -> None:
    entry.rename(entry.with_name("aside"))


def replace_manifest(entry: Path, make: Callable[[Path], object]) -> None:
    (entry / "manifest").rename(entry.with_name("aside-manifest"))
    make(entry / "manifest")


def make_manifest_a_symlink(entry: Path) -> None:
    replace_manifest(entry, lambda path: path.symlink_to(entry.with_name("aside-manifest")))


def make_manifest_a_fifo(entry: Path) -> None:
    replace_manifest(entry, os.mkfifo)


def make_manifest_a_directory(entry: Path) -> None:
    replace_manifest(entry, Path.mkdir)


def make_manifest_a_socket(entry: Path) -> None:
    def bind(path: Path) -> None:
        here = os.open(".", os.O_RDONLY)
        os.chdir(path.parent)  # the path of a socket is short
        try:
            with socket.socket(socket.AF_UNIX) as one:
                one.bind(path.name)
        finally:
            os.fchdir(here)
            os.close(here)

    replace_manifest(entry, bind)


SEEN_AT_ONCE: list[tuple[Callable[[Path], None], MissReason]] = [
    (remove_manifest, MissReason.INCOMPLETE),
    (cut_manifest, MissReason.INCOMPLETE),
    (zero_manifest, MissReason.INCOMPLETE),
    (remove_everything, MissReason.INCOMPLETE),
    (seal_under_another_key, MissReason.CORRUPT),
    (fill_manifest_with_noise, MissReason.CORRUPT),
    (seal_with_an_older_schema, MissReason.STALE_GENERATION),
    (seal_in_another_boot, MissReason.UNVERIFIED),
    (put_a_file_in_its_place, MissReason.DAMAGED),
    (put_a_symlink_in_its_place, MissReason.DAMAGED),
    (put_a_fifo_in_its_place, MissReason.DAMAGED),
    (make_manifest_a_symlink, MissReason.DAMAGED),
    (make_manifest_a_fifo, MissReason.DAMAGED),
    (make_manifest_a_directory, MissReason.DAMAGED),
    (make_manifest_a_socket, MissReason.DAMAGED),
]
seen_at_once = pytest.mark.parametrize(
    ("harm", "reason"), SEEN_AT_ONCE, ids=[harm.__name__ for harm, _ in SEEN_AT_ONCE]
)


@seen_at_once
def test_harm_is_a_miss_with_its_reason(
    cache: Cache,
    entry: Path,
    key: str,
    miss: LookedUp,
    harm: Callable[[Path], None],
    reason: MissReason,
) -> None:
    harm(entry)
    assert miss(cache, key).reason is reason


@seen_at_once
def test_next_publish_replaces_what_was_harmed(
    cache: Cache,
    entry: Path,
    key: str,
    put: Put,
    hit: Hit,
    harm: Callable[[Path], None],
    reason: MissReason,
) -> None:
    harm(entry)
    assert put(cache, key).delivery is Delivery.PUBLISHED, reason
    with hit(cache, key) as found:
        assert found.read(0) == b"frame 1"


def test_miss_says_which_errno(cache: Cache, entry: Path, key: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        found = cache.lookup(key)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert isinstance(found, Miss)
    assert (found.reason, found.error) == (MissReason.UNREADABLE, errno.EMFILE)
    assert entry.exists()


def test_entry_that_may_not_be_read_is_unreadable(
    child: Callable[..., Any], open_path: Path, nobody: int
) -> None:
    one = child(
        """
cache = Cache.open(sys.argv[1])
fill(cache.stage(KEY)).publish().release()
entry = os.path.join(sys.argv[1], "v1", KEY)
os.chmod(entry, 0)
miss = cache.lookup(KEY)
os.chmod(entry, 0o700)
say(miss.reason, errno.errorcode[miss.error])
""",
        open_path / "root",
        uid=nobody,
    )
    assert one.heard() == "unreadable EACCES"


def test_manifest_that_may_not_be_read_is_damaged_and_replaced(
    child: Callable[..., Any], open_path: Path, nobody: int
) -> None:
    one = child(
        """
cache = Cache.open(sys.argv[1])
fill(cache.stage(KEY)).publish().release()
os.chmod(os.path.join(sys.argv[1], "v1", KEY, "manifest"), 0)
say(cache.lookup(KEY).reason)
with fill(cache.stage(KEY)).publish() as frames: say(frames.delivery)
""",
        open_path / "root",
        uid=nobody,
    )
    assert (one.heard(), one.heard()) == ("damaged", "published")


def test_entry_that_a_collector_decides_about_is_busy(
    cache: Cache, entry: Path, key: str, miss: LookedUp
) -> None:
    fd = os.open(entry, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    assert miss(cache, key).reason is MissReason.BUSY
    os.close(fd)


def test_entry_is_a_hit_again_when_the_collector_let_go(
    cache: Cache, entry: Path, key: str, hit: Hit
) -> None:
    fd = os.open(entry, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.close(fd)
    hit(cache, key).release()


def test_stopped_collector_makes_no_lookup_wait(
    cache: Cache, entry: Path, key: str, child: Callable[..., Any], miss: LookedUp
) -> None:
    holder = child(
        """
fd = os.open(sys.argv[1], os.O_RDONLY); syscalls.lock_exclusive(fd); say("held"); hear()
""",
        entry,
    )
    assert holder.heard() == "held"
    holder.stop()
    assert miss(cache, key).reason is MissReason.BUSY
    holder.resume()


# --- counting


def test_hits_and_misses_are_counted_by_reason(
    cache: Cache, entry: Path, key: str, key_of: Callable[[int], str], hit: Hit, miss: LookedUp
) -> None:
    hit(cache, key).release()
    miss(cache, key_of(1))
    remove_manifest(entry)
    miss(cache, key)
    counters = cache.stats().counters
    assert (counters["hit"], counters["miss.absent"], counters["miss.incomplete"]) == (1, 1, 1)


def test_lookups_leak_no_descriptor(
    cache: Cache,
    entry: Path,
    key: str,
    key_of: Callable[[int], str],
    miss: LookedUp,
    descriptors: Callable[[], int],
) -> None:
    before = descriptors()
    for harm in (lambda _: None, cut_manifest, remove_manifest, make_manifest_a_fifo_in_place):
        harm(entry)
        found = cache.lookup(key)
        if isinstance(found, Frames):
            found.release()
    miss(cache, key_of(1))
    assert descriptors() == before


def make_manifest_a_fifo_in_place(entry: Path) -> None:
    os.mkfifo(entry / "manifest")
