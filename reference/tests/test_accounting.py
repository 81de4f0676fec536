"""Counter, sizes and totals: what damage leaves usable, and what a sweep heals."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Frames, events, syscalls
from untorn.root import Root

Put = Callable[..., Frames]
KeyOf = Callable[[int], str]
Child = Callable[..., Any]


@pytest.fixture
def opened(cache: Cache) -> Root:
    """The cache's open root."""
    root = cache.access.root()
    assert root is not None
    return root


def size_of(root: Path, key: str) -> int:
    return sum(path.stat().st_size for path in (root / "v1" / key).iterdir())


def test_counter_follows_publishes(cache: Cache, root: Path, key_of: KeyOf, put: Put) -> None:
    put(cache, key_of(1))
    put(cache, key_of(2))
    put(cache, key_of(2))
    stats = cache.stats()
    assert (stats.entries, stats.entry_bytes) == (
        2,
        size_of(root, key_of(1)) + size_of(root, key_of(2)),
    )


@pytest.mark.parametrize(
    "text", [b"", b"\0", b"\xff" * 16, b"\x7f" * 16, (b"\xff" * 7 + b"\x7f") * 2, b"x" * 4096]
)
def test_damaged_counter_is_healed_by_the_next_sweep(
    cache: Cache, root: Path, key_of: KeyOf, put: Put, text: bytes
) -> None:
    put(cache, key_of(1))
    (root / "ctl" / "usage").write_bytes(text)
    put(cache, key_of(2))
    cache.collect(budget_bytes="unlimited")
    stats = cache.stats()
    total = size_of(root, key_of(1)) + size_of(root, key_of(2))
    assert (stats.entries, stats.entry_bytes) == (2, total)


def test_count_of_a_writer_that_died_before_it_counted_is_healed(
    cache: Cache, root: Path, key_of: KeyOf, put: Put, child: Child
) -> None:
    put(cache, key_of(1))
    writer = child(
        """
accounting.add = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
fill(Cache.open(sys.argv[1]).stage(KEY)).publish()
""",
        root,
    )
    writer.ended()
    assert cache.stats().entries == 1
    cache.collect()
    assert cache.stats().entries == 2


def test_stopped_process_that_is_counting_makes_no_publish_wait_for_it(
    cache: Cache, root: Path, key_of: KeyOf, put: Put, child: Child
) -> None:
    put(cache, key_of(1))
    other = child(
        """
fd = os.open(os.path.join(sys.argv[1], "ctl", "usage"), os.O_RDWR)
syscalls.lock_byte(fd, 0); say("counting"); hear()
""",
        root,
    )
    assert other.heard() == "counting"
    other.stop()
    assert put(cache, key_of(2)).delivery == "published"


SIZES = 3 * 4096 + 100, 7


@pytest.mark.parametrize(("before", "after"), [SIZES, SIZES[::-1]])
def test_size_of_an_entry_is_its_own_and_not_that_of_the_keys_last_one(
    cache: Cache, root: Path, key: str, child: Child, before: int, after: int
) -> None:
    with cache.stage(key) as area:
        (Path(area.path) / "f1").write_bytes(bytes(before))
        area.publish().release()
    cache.collect(budget_bytes=0, min_age_s=0)
    writer = child(
        """
from untorn import upkeep
upkeep.Upkeep.account = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
area = Cache.open(sys.argv[1]).stage(KEY)
open(area.path + "/f1", "wb").write(bytes(int(sys.argv[2])))
area.publish()
""",
        root,
        after,
    )
    writer.ended()
    cache.collect(budget_bytes="unlimited")
    assert cache.stats().entry_bytes == size_of(root, key) > after


@pytest.mark.parametrize("frames", [1, 120, 1000])
def test_collect_weighs_entries_of_any_length(
    cache: Cache, root: Path, key: str, frames: int
) -> None:
    with cache.stage(key) as area:
        for number in range(frames):
            (Path(area.path) / f"frame_{number:05}.png").write_bytes(b"x" * (number + 1))
        area.publish().release()
    done = cache.collect(budget_bytes="unlimited")
    assert done.entry_bytes == size_of(root, key)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "manifest", [b"", b"{}", b"\xff" * 5000, b'{"v":1,"key":"' + b"0" * 64, None]
)
def test_entry_without_its_manifest_weighs_what_lies_there(
    cache: Cache, root: Path, key: str, put: Put, manifest: bytes | None
) -> None:
    put(cache, key)
    path = root / "v1" / key / "manifest"
    path.unlink()
    if manifest is not None:
        path.write_bytes(manifest)
    done = cache.collect(budget_bytes="unlimited")
    assert done.entry_bytes == size_of(root, key)  # type: ignore[union-attr]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("f1", path)])
def test_what_lies_in_a_manifests_place_is_not_waited_for(
    cache: Cache, root: Path, key: str, put: Put, make: Callable[[Path], None]
) -> None:
    put(cache, key)
    path = root / "v1" / key / "manifest"
    path.unlink()
    make(path)
    weighed = sum(each.lstat().st_size for each in path.parent.iterdir())
    done = cache.collect(budget_bytes="unlimited")
    assert done.entry_bytes == weighed  # type: ignore[union-attr]


def test_manifest_of_another_key_says_nothing(
    cache: Cache, root: Path, key_of: KeyOf, put: Put
) -> None:
    put(cache, key_of(1))
    put(cache, key_of(2))
    other = (root / "v1" / key_of(2) / "manifest").read_bytes()
    text = re.sub(rb'"bytes":[0-9]+', b'"bytes":999999', other)
    path = root / "v1" / key_of(1) / "manifest"
    path.unlink()
    path.write_bytes(text)
    done = cache.collect(budget_bytes="unlimited")
    total = size_of(root, key_of(1)) + size_of(root, key_of(2))
    assert done.entry_bytes == total  # type: ignore[union-attr]


# --- totals of all processes


def test_counters_are_handed_in_at_the_close(
    cache: Cache, root: Path, key: str, child: Child
) -> None:
    for _ in range(2):
        child("with Cache.open(sys.argv[1]) as cache: cache.lookup(KEY)", root).ended()
    assert cache.stats().handed_in == {"miss.absent": 2}
    assert key


def test_processes_that_close_at_the_same_moment_wait_for_one_another(
    opened: Root, just_before: Callable[..., None]
) -> None:
    counters = events.Counters()
    counters.add("hit")
    other = os.open("counters", os.O_RDWR | os.O_CREAT, dir_fd=opened.ctl_fd)
    assert syscalls.lock_byte(other, 0)
    just_before(time, "sleep", lambda: os.close(other))
    counters.hand_in(opened.ctl_fd)
    assert events.handed_in(opened.ctl_fd) == {"hit": 1}


def test_stopped_process_that_hands_in_makes_no_close_wait_for_it(
    cache: Cache, root: Path, child: Child
) -> None:
    other = child(
        """
fd = os.open(os.path.join(sys.argv[1], "ctl", "counters"), os.O_RDWR | os.O_CREAT)
syscalls.lock_byte(fd, 0); say("handing in"); hear()
""",
        root,
    )
    assert other.heard() == "handing in"
    other.stop()
    cache.access.counters.add("hit")
    cache.close()
    other.kill()
    cache.close()
    assert cache.stats().handed_in == {}
    cache.close()
    assert cache.stats().handed_in == {"hit": 1}


def test_count_that_is_handed_in_is_handed_in_once(opened: Root) -> None:
    counters = events.Counters()
    counters.add("hit", 3)
    counters.hand_in(opened.ctl_fd)
    counters.hand_in(opened.ctl_fd)
    assert events.handed_in(opened.ctl_fd) == {"hit": 3}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 16000,
        b'{"hit": "many"}',
        b'{"hit": -5}',
        b'{"hit": 1e3}',
        b'{"%s": 1}' % (b"n" * 16000),
        b'{"hit": 9%s}' % (b"9" * 4000),
    ],
    ids=lambda text: repr(text)[:16],
)
def test_damaged_totals_start_anew(opened: Root, root: Path, text: bytes) -> None:
    (root / "ctl" / "counters").write_bytes(text)
    counters = events.Counters()
    counters.add("hit")
    counters.hand_in(opened.ctl_fd)
    assert events.handed_in(opened.ctl_fd) == {"hit": 1}


def test_nothing_below_ctl_is_followed_or_waited_for(
    cache: Cache, root: Path, tmp_path: Path, key: str, put: Put
) -> None:
    (tmp_path / "outside").write_text("not ours")
    (root / "ctl" / "usage").symlink_to(tmp_path / "outside")
    os.mkfifo(root / "ctl" / "spans")
    (root / "ctl" / "counters").symlink_to(tmp_path / "outside")
    put(cache, key)
    cache.collect()
    cache.close()
    assert (tmp_path / "outside").read_text() == "not ours"


def test_accounting_that_fails_is_counted_and_fails_no_publish(
    cache: Cache, root: Path, key: str, put: Put
) -> None:
    (root / "ctl" / "usage").mkdir()
    assert put(cache, key).delivery == "published"
    assert cache.stats().counters["accounting_failed"] == 1


def test_byte_locks_of_two_openings_exclude_one_another(opened: Root) -> None:
    flags = os.O_RDWR | os.O_CREAT
    with (
        syscalls.opened("usage", flags, dir_fd=opened.ctl_fd) as one,
        syscalls.opened("usage", flags, dir_fd=opened.ctl_fd) as two,
    ):
        assert syscalls.lock_byte(one, 7)
        assert not syscalls.lock_byte(two, 7)
        assert syscalls.lock_byte(two, 8)


def test_wait_for_a_held_byte_is_short_and_takes_few_steps(
    opened: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    flags = os.O_RDWR | os.O_CREAT
    with (
        syscalls.opened("usage", flags, dir_fd=opened.ctl_fd) as one,
        syscalls.opened("usage", flags, dir_fd=opened.ctl_fd) as two,
    ):
        assert syscalls.lock_byte(one, 0)
        assert not syscalls.lock_byte_soon(two, 0)
    assert len(pauses) < 10
    assert 0.05 < sum(pauses) < 0.1


def test_byte_that_is_let_go_during_the_wait_is_taken(
    opened: Root, just_before: Callable[..., None]
) -> None:
    flags = os.O_RDWR | os.O_CREAT
    one = os.open("usage", flags, dir_fd=opened.ctl_fd)
    assert syscalls.lock_byte(one, 0)
    just_before(time, "sleep", lambda: os.close(one))
    with syscalls.opened("usage", flags, dir_fd=opened.ctl_fd) as two:
        assert syscalls.lock_byte_soon(two, 0)
