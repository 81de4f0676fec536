"""What the dead leave: staging is reaped, trash drained, old generations reclaimed (C3, G4-G6)."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Collected, space, syscalls
from untorn.config import DEFAULT_REAP_GRACE_S

Child = Callable[..., Any]
KeyOf = Callable[[int], str]
STAGE = """
cache = Cache.open(sys.argv[1])
area = fill(cache.stage(KEY)); say(area.path); hear()
with area.publish() as frames: say(frames.delivery)
"""


@pytest.fixture
def cache(open_cache: Callable[..., Cache], clock: Any) -> Cache:
    """A cache whose clock is turned by hand."""
    return open_cache(clock=clock)


def collected(cache: Cache, **orders: Any) -> Collected:
    done = cache.collect(**orders)
    assert isinstance(done, Collected)
    return done


def test_staging_of_a_dead_writer_is_reaped_after_the_grace(
    cache: Cache, root: Path, clock: Any, child: Child
) -> None:
    writer = child(STAGE, root)
    path = Path(writer.heard())
    writer.kill()
    clock.now_s = path.stat().st_mtime + DEFAULT_REAP_GRACE_S - 1
    assert collected(cache).reaped == 0
    clock.now_s += 2
    assert collected(cache).reaped == 1
    assert not path.exists()
    assert list((root / "trash").iterdir()) == []


def test_staging_of_a_stopped_writer_stays_however_old(
    cache: Cache, root: Path, clock: Any, child: Child
) -> None:
    writer = child(STAGE, root)
    path = Path(writer.heard())
    writer.stop()
    os.utime(path, (1, 1))
    clock.now_s += 10 * 86400
    assert collected(cache).reaped == 0
    writer.resume()
    writer.tell()
    assert writer.heard() == "published"


def test_staging_from_the_future_of_a_dead_writer_is_reaped(
    cache: Cache, root: Path, clock: Any, child: Child
) -> None:
    writer = child(STAGE, root)
    writer.heard()
    writer.kill()
    clock.now_s -= 86400
    assert collected(cache).reaped == 1


def test_writer_that_loses_its_staging_before_it_locks_takes_another(
    cache: Cache, key: str, clock: Any, just_before: Callable[..., None]
) -> None:
    def reap() -> None:
        clock.now_s += 60
        assert collected(cache).reaped == 1

    just_before(syscalls, "lock_shared", reap)
    with cache.stage(key) as area:
        Path(area.path, "f1").write_bytes(b"x")
        with area.publish() as frames:
            assert frames.delivery == "published"


@pytest.mark.skipif(os.geteuid() != 0, reason="UNKNOWN: only root can give a directory away")
def test_staging_of_another_user_stays(
    cache: Cache, root: Path, key_of: KeyOf, clock: Any, nobody: int
) -> None:
    foreign = root / "staging" / f"{key_of(1)}.{'0' * 32}"
    foreign.mkdir()
    os.chown(foreign, nobody, -1)
    clock.now_s += 3600
    assert collected(cache).reaped == 0
    assert foreign.exists()


def test_trash_is_drained_with_all_it_holds(cache: Cache, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("not ours")
    trash = root / "trash"
    (trash / "half" / "deeper").mkdir(parents=True)
    (trash / "half" / "deeper" / "frame").write_text("x")
    (trash / "half" / "half" / "half").mkdir(parents=True)
    (trash / "half" / "half" / "frame").write_text("x")
    (trash / "half" / "link").symlink_to(outside)
    (trash / "link").symlink_to(outside)
    (trash / "dangling").symlink_to("nowhere")
    os.mkfifo(trash / "half" / "fifo")
    (trash / ("\u00fc" * 120)).mkdir()
    collected(cache)
    assert list(trash.iterdir()) == []
    assert (outside / "kept").read_text() == "not ours"


def test_hard_link_in_the_trash_leaves_the_other_name(
    cache: Cache, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "kept").write_text("not ours")
    os.link(tmp_path / "kept", root / "trash" / "linked")
    collected(cache)
    assert (tmp_path / "kept").read_text() == "not ours"


# --- older generations


@pytest.fixture
def old(cache: Cache, root: Path, clock: Any, key_of: KeyOf) -> Path:
    """Two entries of an older schema, untouched for a day."""
    generation = root / "v0"
    for number in (1, 2):
        entry = generation / key_of(number)
        entry.mkdir(parents=True)
        (entry / "f1").write_bytes(bytes(100))
    clock.now_s += 86400
    assert not cache.degraded
    return generation


def test_older_generation_is_reclaimed_whatever_the_budget(cache: Cache, old: Path) -> None:
    done = collected(cache, budget_bytes="unlimited")
    assert (done.evicted, done.freed_bytes) == (2, 200)
    assert not old.exists()


def test_young_entries_of_an_older_generation_stay(
    cache: Cache, old: Path, clock: Any, key_of: KeyOf
) -> None:
    os.utime(old / key_of(1), (clock.now_s, clock.now_s))
    done = collected(cache)
    assert (done.evicted, done.protected["young"]) == (1, 1)
    assert (old / key_of(1)).exists()


def test_entry_of_an_older_generation_that_is_held_stays(
    cache: Cache, old: Path, key_of: KeyOf, child: Child
) -> None:
    reader = child(
        "fd = os.open(sys.argv[1], os.O_RDONLY); syscalls.lock_shared(fd); say('held'); hear()",
        old / key_of(1),
    )
    assert reader.heard() == "held"
    reader.stop()
    done = collected(cache)
    assert (done.evicted, done.protected["leased"]) == (1, 1)
    assert (old / key_of(1)).exists()


def test_odd_thing_in_an_older_generation_does_not_save_the_rest(
    cache: Cache, old: Path, key_of: KeyOf
) -> None:
    for number in range(3, 9):
        (old / key_of(number)).write_text("a file where an entry should be")
    assert collected(cache).evicted == 2
    assert len(list(old.iterdir())) == 6


def test_foreign_name_in_an_older_generation_stays(cache: Cache, old: Path) -> None:
    (old / "notes").mkdir()
    collected(cache)
    assert [path.name for path in old.iterdir()] == ["notes"]


def test_newer_generation_is_not_touched(cache: Cache, root: Path, old: Path) -> None:
    shutil.copytree(old, root / "v2")
    collected(cache, budget_bytes=0, min_age_s=0)
    assert len(list((root / "v2").iterdir())) == 2


def test_symlink_with_a_generations_name_is_not_followed(
    cache: Cache, root: Path, old: Path, tmp_path: Path
) -> None:
    old.rename(tmp_path / "elsewhere")
    (root / "v0").symlink_to(tmp_path / "elsewhere")
    assert collected(cache).evicted == 0
    assert len(list((tmp_path / "elsewhere").iterdir())) == 2


# --- reservations (D4)


def test_reservation_of_a_dead_writer_does_not_count(
    cache: Cache, root: Path, child: Child
) -> None:
    writer = child(
        """
from untorn import space
cache = Cache.open(sys.argv[1])
area = cache.stage(KEY)
space.reserve(area.work, space.Need(size=1 << 60, files=1)); say("reserved"); hear()
""",
        root,
    )
    assert writer.heard() == "reserved"
    trusted = cache.access.root()
    assert trusted is not None
    assert space.missing(trusted, space.Need(size=1, files=1)) is not None
    writer.kill()
    assert space.missing(trusted, space.Need(size=1, files=1)) is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"bytes": null, "files": 1}', '{"bytes": 1e999}', "[" * 9999],
)
def test_reservation_that_means_nothing_is_passed_over(cache: Cache, key: str, text: str) -> None:
    trusted = cache.access.root()
    assert trusted is not None
    with cache.stage(key) as area:
        Path(area.path, ".reservation").write_text(text)
        assert space.missing(trusted, space.Need(size=1, files=1)) is None


def test_reservation_is_no_part_of_the_entry(cache: Cache, root: Path, key: str) -> None:
    with cache.stage(key) as area:
        space.reserve(area.work, space.Need(size=1, files=1))  # type: ignore[arg-type]
        Path(area.path, "f1").write_bytes(b"x")
        area.publish().release()
    assert sorted(path.name for path in (root / "v1" / key).iterdir()) == ["f1", "manifest"]


def test_listing_of_reservations_moves_no_shared_offset(cache: Cache) -> None:
    trusted = cache.access.root()
    assert trusted is not None
    os.lseek(trusted.staging_fd, 1, os.SEEK_SET)  # as another thread's listing would leave it
    space.missing(trusted, space.Need(size=1, files=1))
    assert os.lseek(trusted.staging_fd, 0, os.SEEK_CUR) == 1
