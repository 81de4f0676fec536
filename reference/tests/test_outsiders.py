"""What outsiders do to an entry is found at once or at the next touch, and replaced (T1)."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Delivery, Frames, Miss, MissReason, lookup

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


def restore(path: Path, act: Callable[[], object]) -> None:
    """Do something to a file or directory and put its mtime back, as `cp -p` and `rsync` do."""
    status = path.stat()
    act()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("mtime_ns", "ctime_ns", "by_others"),
    [
        (1_000_000_001_000, 1_000_000_002_345, False),  # ours, at any ctime
        (1_000_000_001_001, 1_000_000_002_345, True),  # the kernel's, and then a new mode
        (1_000_000_001_001, 1_000_000_001_001, True),
        (1_000_000_001_000, 1_000_000_001_000, True),  # the one in a thousand
    ],
)
def test_kernel_stamp_is_told_from_ours_even_on_a_whole_microsecond(
    entry: Path, mtime_ns: int, ctime_ns: int, by_others: bool
) -> None:
    stamps = {"st_mtime_ns": mtime_ns, "st_ctime_ns": ctime_ns}
    status = os.stat_result(tuple(entry.stat())[:10], stamps)
    assert lookup.was_changed_by_others(status) is by_others


@pytest.mark.parametrize("index", [1, 2, 3])
def test_thinned_entry_is_noticed_at_once(
    cache: Cache, entry: Path, key: str, miss: LookedUp, index: int
) -> None:
    (entry / f"frame_0000{index}.png").unlink()
    assert miss(cache, key).reason is MissReason.DAMAGED


def test_foreign_file_in_an_entry_is_no_harm(cache: Cache, entry: Path, key: str, hit: Hit) -> None:
    (entry / ".DS_Store").touch()
    with hit(cache, key) as found:
        assert len(found) == 3


def thin(entry: Path) -> None:
    restore(entry, (entry / "frame_00002.png").unlink)


def cut(path: Path, size: int) -> None:
    path.chmod(0o600)  # entries are read-only, also for their owner
    os.truncate(path, size)


def truncate(entry: Path) -> None:
    cut(entry / "frame_00002.png", 3)


def truncate_and_restore(entry: Path) -> None:
    frame = entry / "frame_00002.png"
    restore(frame, lambda: cut(frame, 3))


def zero(entry: Path) -> None:
    cut(entry / "frame_00003.png", 0)


def lengthen(entry: Path) -> None:
    overwrite(entry / "frame_00001.png", b"frame 1 and more")


def alter_in_place(entry: Path) -> None:
    os.utime(entry / "manifest", (1, 1))  # as if it had been sealed long ago
    overwrite(entry / "frame_00001.png", b"frame X")


def swap_for(entry: Path, make: Callable[[Path], object]) -> None:
    def swap() -> None:
        (entry / "frame_00002.png").rename(entry.with_name("aside-frame"))
        make(entry / "frame_00002.png")

    restore(entry, swap)


def swap_for_a_symlink(entry: Path) -> None:
    """One of the frame's size and age, that leads to the frame."""
    frame = entry / "frame_00002.png"
    status = frame.stat()

    def swap() -> None:
        frame.rename(entry.with_name("swap"))
        frame.symlink_to("../swap")
        os.utime(frame, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)

    restore(entry, swap)
    assert frame.lstat().st_size == status.st_size


def swap_for_a_fifo(entry: Path) -> None:
    swap_for(entry, os.mkfifo)


def swap_for_a_directory(entry: Path) -> None:
    swap_for(entry, Path.mkdir)


def forbid_reading(entry: Path) -> None:
    (entry / "frame_00002.png").chmod(0)


def name_a_frame_twice(entry: Path) -> None:
    text = (entry / "manifest").read_bytes()
    overwrite(entry / "manifest", text.replace(b"frame_00002", b"frame_00003"))


def name_no_frame(entry: Path) -> None:
    text = (entry / "manifest").read_bytes()
    overwrite(entry / "manifest", text.replace(b"frame_00002.png", b"x" * 300))


SEEN_AT_THE_TOUCH = [
    thin,
    truncate,
    truncate_and_restore,
    zero,
    lengthen,
    alter_in_place,
    swap_for_a_symlink,
    swap_for_a_fifo,
    swap_for_a_directory,
    forbid_reading,
    name_a_frame_twice,
    name_no_frame,
]
seen_at_the_touch = pytest.mark.parametrize(
    "harm", SEEN_AT_THE_TOUCH, ids=lambda harm: harm.__name__
)


@seen_at_the_touch
def test_harm_is_noticed_at_the_next_touch(
    cache: Cache, entry: Path, key: str, miss: LookedUp, clock: Any, harm: Callable[[Path], None]
) -> None:
    harm(entry)
    clock.now_s += RESOLUTION_S + 1
    assert miss(cache, key).reason in (MissReason.DAMAGED, MissReason.CORRUPT)


@seen_at_the_touch
def test_harmed_entry_is_never_adopted(
    cache: Cache, entry: Path, key: str, put: Put, hit: Hit, harm: Callable[[Path], None]
) -> None:
    harm(entry)
    assert put(cache, key).delivery is Delivery.PUBLISHED
    with hit(cache, key) as found:
        assert [found.read(index) for index in range(3)] == [b"frame 1", b"frame 2", b"frame 3"]


def test_end_of_a_long_hold_does_not_hide_that_frames_were_taken(
    cache: Cache,
    entry: Path,
    key: str,
    hit: Hit,
    miss: LookedUp,
    clock: Any,
) -> None:
    with hit(cache, key):
        clock.now_s += RESOLUTION_S + 1
        (entry / "frame_00002.png").unlink()
    clock.now_s = entry.stat().st_mtime
    assert miss(cache, key).reason is MissReason.DAMAGED


def test_collect_does_not_hide_that_frames_were_taken(
    cache: Cache, entry: Path, key: str, miss: LookedUp, clock: Any
) -> None:
    (entry / "frame_00002.png").unlink()
    clock.now_s -= 86400
    cache.collect()
    assert miss(cache, key).reason is MissReason.DAMAGED


def test_staging_that_was_thinned_is_not_published(cache: Cache, root: Path, key: str) -> None:
    with cache.stage(key) as area:
        for number in (1, 2, 3):
            Path(area.path, f"frame_{number:05d}.png").write_bytes(b"frame")
        Path(area.path, "frame_00003.png").unlink()  # the last: it leaves no gap
        with pytest.raises(FileNotFoundError, match="1 of 3 staged frames"):
            area.publish(count=3)
    assert list((root / "v1").iterdir()) == []
