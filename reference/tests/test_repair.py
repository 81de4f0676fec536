"""Repair: what is damaged in an entry's place goes, what is whole never does (P3, P4, N1)."""

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Delivery, Frames, MissReason, layout, lookup, publish, syscalls, trash
from untorn.outcome import Collected, Step, UnpublishedReason
from untorn.root import Root, Trust

Put = Callable[..., Frames]
Hit = Callable[[Cache, str], Frames]
Child = Callable[..., Any]
JustBefore = Callable[..., None]
NEW = {"f1": b"new"}


def file_in_place(place: Path) -> None:
    place.write_text("not an entry")


def symlink_in_place(place: Path) -> None:
    elsewhere = place.parents[1] / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "f1").write_bytes(b"not ours")
    place.symlink_to(elsewhere)


def dangling_symlink_in_place(place: Path) -> None:
    place.symlink_to("nowhere")


def fifo_in_place(place: Path) -> None:
    os.mkfifo(place)


def empty_directory_in_place(place: Path) -> None:
    place.mkdir()


def frames_without_manifest_in_place(place: Path) -> None:
    place.mkdir()
    (place / "f1").write_bytes(b"half")


IN_PLACE = [
    file_in_place,
    symlink_in_place,
    dangling_symlink_in_place,
    fifo_in_place,
    empty_directory_in_place,
    frames_without_manifest_in_place,
]
in_place = pytest.mark.parametrize("plant", IN_PLACE, ids=lambda plant: plant.__name__)


def leftovers(root: Path) -> list[str]:
    return [path.name for name in ("staging", "trash") for path in (root / name).iterdir()]


def trusted_root(cache: Cache) -> Root:
    root = cache.access.root()
    assert root is not None
    return root


@pytest.fixture
def place(cache: Cache, root: Path, key: str) -> Path:
    """Where the entry of `key` belongs."""
    assert not cache.degraded
    return root / "v1" / key


@in_place
def test_what_is_no_entry_is_replaced(
    cache: Cache, place: Path, root: Path, key: str, put: Put, plant: Callable[[Path], None]
) -> None:
    plant(place)
    assert put(cache, key, NEW).delivery is Delivery.PUBLISHED
    assert (place / "f1").read_bytes() == b"new"
    assert leftovers(root) == []


def test_symlink_is_not_followed_when_it_is_replaced(
    cache: Cache, place: Path, root: Path, key: str, put: Put
) -> None:
    symlink_in_place(place)
    put(cache, key, NEW)
    assert (root / "elsewhere" / "f1").read_bytes() == b"not ours"


def test_directory_of_any_depth_is_replaced(
    cache: Cache, place: Path, root: Path, key: str, put: Put
) -> None:
    place.mkdir()
    fd = os.open(place, os.O_RDONLY)
    for _ in range(1200):  # deeper than Python's stack and than the limit of descriptors
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    assert put(cache, key, NEW).delivery is Delivery.PUBLISHED
    assert leftovers(root) == []


def test_whole_entry_is_adopted_and_not_replaced(
    cache: Cache, place: Path, key: str, put: Put
) -> None:
    put(cache, key, {"f1": b"old"})
    inode = place.stat().st_ino
    assert put(cache, key, NEW).delivery is Delivery.ADOPTED
    assert place.stat().st_ino == inode


def test_damaged_entry_that_somebody_holds_stays_and_the_frames_are_delivered(
    cache: Cache, place: Path, root: Path, key: str, put: Put, child: Child
) -> None:
    put(cache, key, {"f1": b"old"})
    reader = child("frames = Cache.open(sys.argv[1]).lookup(KEY); say('held'); hear()", root)
    assert reader.heard() == "held"
    reader.stop()
    (place / "manifest").unlink()
    with put(cache, key, NEW, hold=True) as frames:
        assert frames.failure is not None
        assert frames.failure.reason is UnpublishedReason.BUSY
        assert (frames.delivery, frames.read(0)) == (Delivery.UNPUBLISHED, b"new")
        assert (place / "f1").read_bytes() == b"old"
    assert leftovers(root) == []


def test_next_publish_after_the_holder_is_gone_replaces_it(
    cache: Cache, place: Path, root: Path, key: str, put: Put, child: Child
) -> None:
    put(cache, key, {"f1": b"old"})
    reader = child("frames = Cache.open(sys.argv[1]).lookup(KEY); say('held'); hear()", root)
    assert reader.heard() == "held"
    (place / "manifest").unlink()
    reader.kill()
    assert put(cache, key, NEW).delivery is Delivery.PUBLISHED


def test_lookup_that_is_over_in_a_moment_does_not_make_a_repair_busy(
    cache: Cache, place: Path, key: str, put: Put, just_before: JustBefore
) -> None:
    place.mkdir()
    passing = os.open(place, os.O_RDONLY)
    just_before(syscalls, "lock_exclusive", lambda: fcntl.flock(passing, fcntl.LOCK_SH))
    just_before(time, "sleep", lambda: os.close(passing))
    assert put(cache, key, NEW).delivery is Delivery.PUBLISHED


def test_of_many_writers_that_repair_one_publishes_and_the_others_adopt(
    root: Path, place: Path, child: Child
) -> None:
    writers = [
        child(
            """
cache = Cache.open(sys.argv[1])
area = fill(cache.stage(KEY))
say("staged"); hear()
with area.publish() as frames: say(frames.delivery, frames.failure)
""",
            root,
        )
        for _ in range(4)
    ]
    for writer in writers:
        assert writer.heard() == "staged"
    frames_without_manifest_in_place(place)
    for writer in writers:
        writer.tell()
    said = sorted(writer.heard() for writer in writers)
    assert said[-1] == "published None"
    assert set(said[:-1]) <= {"adopted None"} or all(
        words.startswith(("adopted", "unpublished busy")) for words in said[:-1]
    )


def test_winner_that_lands_before_the_repair_looks_is_adopted(
    cache: Cache, place: Path, key: str, put: Put, just_before: JustBefore
) -> None:
    frames_without_manifest_in_place(place)

    def another_repairs() -> None:
        shutil.rmtree(place)
        put(cache, key, {"f1": b"winner"})

    just_before(publish, "_repair", another_repairs)
    with put(cache, key, NEW, hold=True) as frames:
        assert (frames.delivery, frames.read(0)) == (Delivery.ADOPTED, b"winner")


def test_winner_that_lands_before_the_repair_locks_is_adopted(
    cache: Cache, place: Path, key: str, put: Put, just_before: JustBefore
) -> None:
    frames_without_manifest_in_place(place)

    def another_repairs() -> None:
        shutil.rmtree(place)
        put(cache, key, {"f1": b"winner"})

    just_before(publish, "_set_damaged_aside", another_repairs)
    with put(cache, key, NEW, hold=True) as frames:
        assert (frames.delivery, frames.read(0)) == (Delivery.ADOPTED, b"winner")


@pytest.mark.parametrize(
    ("module", "step"),
    [(publish, "_repair"), (syscalls, "lock_exclusive"), (publish, "set_aside")],
    ids=["open", "lock", "rename"],
)
def test_ruin_that_goes_before_it_is_set_aside_makes_room(
    cache: Cache, place: Path, key: str, put: Put, just_before: JustBefore, module: Any, step: str
) -> None:
    """Another repair takes it between any two steps of ours; an outsider, before the last."""
    frames_without_manifest_in_place(place)
    just_before(module, step, lambda: place.rename(place.parents[1] / "trash" / "ruin"))
    assert put(cache, key, NEW).delivery is Delivery.PUBLISHED
    counters = cache.stats().counters
    assert (counters["published"], counters.get("repaired", 0)) == (1, 0)


def test_winner_that_lands_before_the_unlink_is_adopted(
    cache: Cache, place: Path, key: str, put: Put, just_before: JustBefore
) -> None:
    file_in_place(place)

    def another_repairs() -> None:
        place.unlink()
        put(cache, key, {"f1": b"winner"})

    just_before(publish, "_unlink", another_repairs)
    with put(cache, key, NEW, hold=True) as frames:
        assert (frames.delivery, frames.read(0)) == (Delivery.ADOPTED, b"winner")


def test_winner_that_lands_in_an_outsiders_gap_is_put_back(
    cache: Cache, place: Path, key: str, put: Put, just_before: JustBefore
) -> None:
    frames_without_manifest_in_place(place)

    def an_outsider_deletes_and_another_publishes() -> None:
        shutil.rmtree(place)
        put(cache, key, {"f1": b"winner"})

    just_before(os, "rename", an_outsider_deletes_and_another_publishes)
    with put(cache, key, NEW, hold=True) as frames:
        assert (frames.delivery, frames.read(0)) == (Delivery.ADOPTED, b"winner")


def test_collector_that_drains_what_a_repair_set_aside_does_no_harm(
    cache: Cache, place: Path, root: Path, key: str, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames_without_manifest_in_place(place)

    class Marked(str):
        """A name in the trash; what looks it up comes after the drain."""

        __slots__ = ()

    real_name, real_stat = layout.trash_name, os.stat

    def stat(path: Any, **named: Any) -> os.stat_result:
        if isinstance(path, Marked):
            trash.drain(trusted_root(cache))
        return real_stat(path, **named)

    monkeypatch.setattr(layout, "trash_name", lambda name: Marked(real_name(name)))
    monkeypatch.setattr(os, "stat", stat)
    assert put(cache, key, NEW).delivery is Delivery.PUBLISHED
    assert leftovers(root) == []


def test_entry_that_a_collector_takes_after_the_refusal_makes_room(
    cache: Cache, place: Path, key: str, put: Put, just_before: JustBefore
) -> None:
    put(cache, key, {"f1": b"old"})
    just_before(lookup, "lease_entry", lambda: cache.collect(budget_bytes=0, min_age_s=0))
    assert put(cache, key, NEW).delivery is Delivery.PUBLISHED
    assert (place / "f1").read_bytes() == b"new"


def test_entry_under_a_stopped_collector_makes_publish_busy_and_not_wait(
    cache: Cache, place: Path, key: str, put: Put
) -> None:
    put(cache, key)
    collector = os.open(place, os.O_RDONLY)
    fcntl.flock(collector, fcntl.LOCK_EX)
    with put(cache, key, NEW, hold=True) as frames:
        assert frames.failure is not None
        assert frames.failure.reason is UnpublishedReason.BUSY
        assert frames.read(0) == b"new"
    os.close(collector)


# --- where locks cannot be believed


@pytest.fixture
def untrusted(cache: Cache) -> Cache:
    root = trusted_root(cache)
    root.trust = Trust(file_system="nfs", locks=False, reason="not a known local file system")
    return cache


def test_untrusted_root_still_publishes_and_adopts(untrusted: Cache, key: str, put: Put) -> None:
    assert put(untrusted, key).delivery is Delivery.PUBLISHED
    assert put(untrusted, key).delivery is Delivery.ADOPTED


@in_place
def test_untrusted_root_repairs_nothing(
    untrusted: Cache, place: Path, key: str, put: Put, plant: Callable[[Path], None]
) -> None:
    plant(place)
    before = place.lstat().st_ino
    with put(untrusted, key, NEW, hold=True) as frames:
        assert frames.failure is not None
        assert frames.failure.reason is UnpublishedReason.UNTRUSTED
        assert frames.read(0) == b"new"
    assert place.lstat().st_ino == before


def test_untrusted_root_is_not_collected(untrusted: Cache, key: str, put: Put, hit: Hit) -> None:
    put(untrusted, key)
    done = untrusted.collect(budget_bytes=0, min_age_s=0)
    assert done.reason == "untrusted"  # type: ignore[union-attr]
    hit(untrusted, key).release()


# --- what the publishing rename may answer (N2)


@pytest.mark.parametrize("name", ["EEXIST", "ENOTEMPTY", "EPERM"])
def test_rename_that_says_occupied_adopts_the_winner(
    cache: Cache, key: str, put: Put, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    put(cache, key, {"f1": b"old"})
    monkeypatch.setattr(syscalls, "rename_noreplace", refusing(name))
    with put(cache, key, NEW, hold=True) as frames:
        assert (frames.delivery, frames.read(0)) == (Delivery.ADOPTED, b"old")


@pytest.mark.parametrize("name", ["EXDEV", "EPERM", "ESTALE", "ENOSPC", "EIO", "EROFS"])
def test_rename_that_fails_is_named_and_the_frames_are_delivered(
    cache: Cache, root: Path, key: str, put: Put, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(syscalls, "rename_noreplace", refusing(name))
    with put(cache, key, NEW, hold=True) as frames:
        assert frames.failure is not None
        assert (frames.failure.errno_name, frames.failure.step) == (name, Step.RENAME)
        assert frames.read(0) == b"new"
    assert leftovers(root) == []


def test_publish_that_fails_once_degrades_nothing_else(
    cache: Cache, key: str, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as while_it_fails:
        while_it_fails.setattr(syscalls, "rename_noreplace", refusing("EIO"))
        put(cache, key, NEW)
    assert cache.degraded == ""
    assert cache.stats().counters["degraded.EIO"] == 1


@pytest.mark.parametrize("name", ["EINVAL", "ENOSYS"])
def test_kernel_without_noreplace_publishes_by_plain_rename(
    cache: Cache, key: str, put: Put, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(syscalls, "rename_noreplace", refusing(name))
    assert put(cache, key, NEW).delivery is Delivery.PUBLISHED
    assert put(cache, key, NEW).delivery is Delivery.ADOPTED


@pytest.mark.parametrize("name", ["EEXIST", "EPERM", "ESTALE"])
def test_lost_answer_of_a_rename_that_was_done_is_a_publish(
    cache: Cache, key: str, put: Put, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(syscalls, "rename_noreplace", done_and_denied(name))
    with put(cache, key, NEW, hold=True) as frames:
        assert (frames.delivery, frames.read(0)) == (Delivery.PUBLISHED, b"new")
        assert evicted(cache) == 0
    assert evicted(cache) == 1  # nothing but the frames held it


def test_lost_answer_is_a_publish_though_an_outsider_was_there_at_once(
    untrusted: Cache, place: Path, key: str, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    thin = (place / layout.MANIFEST).unlink
    monkeypatch.setattr(syscalls, "rename_noreplace", done_and_denied("EEXIST", thin))
    assert put(untrusted, key, NEW).delivery is Delivery.PUBLISHED


def evicted(cache: Cache) -> int:
    done = cache.collect(budget_bytes=0, min_age_s=0)
    assert isinstance(done, Collected)
    return done.evicted


def done_and_denied(name: str, meanwhile: Callable[[], None] = lambda: None) -> Callable[..., None]:
    """A rename whose answer is lost: it is done, and refused when it is asked for again."""
    real = syscalls.rename_noreplace
    refuse = refusing(name)

    def rename(*arguments: Any) -> None:
        real(*arguments)
        meanwhile()
        refuse()

    return rename


def refusing(name: str) -> Callable[..., None]:
    """A rename that answers an errno which no file system here gives."""

    def refuse(*_arguments: Any) -> None:
        number = getattr(errno, name)
        raise OSError(number, os.strerror(number))

    return refuse


def test_miss_of_a_damaged_entry_says_so_until_it_is_replaced(
    cache: Cache, place: Path, key: str
) -> None:
    empty_directory_in_place(place)
    found = cache.lookup(key)
    assert not isinstance(found, Frames)
    assert found.reason is MissReason.INCOMPLETE
