"""Collect: what it says it did, beside other collectors, over jumps of the clock (G7-G13)."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Collected, Frames, Skipped, collect, layout, syscalls, upkeep
from untorn.access import Access

OpenCache = Callable[..., Cache]
Put = Callable[..., Frames]
Hit = Callable[[Cache, str], Frames]
KeyOf = Callable[[int], str]
Child = Callable[..., Any]
Tree = Callable[[Path], dict[str, tuple[Any, ...]]]
HOUR_S = 3600.0
PAYLOAD = 10_000


@pytest.fixture
def cache(open_cache: OpenCache, clock: Any) -> Cache:
    """A cache whose clock is turned by hand, with the default protection of young entries."""
    return open_cache(clock=clock)


def entry_size(root: Path) -> int:
    one = next((root / "v1").iterdir())
    return sum(path.stat().st_size for path in one.iterdir())


def done(answer: Collected | Skipped) -> Collected:
    assert isinstance(answer, Collected), answer
    return answer


# --- what is reported


def test_statistics_equal_what_left_the_tree(
    cache: Cache, root: Path, fill: Callable[..., None]
) -> None:
    def stored() -> int:
        return sum(path.stat().st_size for path in (root / "v1").rglob("*") if path.is_file())

    fill([1, 2, 3, 4])
    before = stored()
    answer = done(cache.collect(budget_bytes=2 * entry_size(root)))
    assert (answer.evicted, answer.freed_bytes) == (2, before - stored())
    assert (answer.entries, answer.entry_bytes) == (2, stored())
    assert list((root / "trash").iterdir()) == []


def test_freed_bytes_are_those_on_the_disk_and_not_those_of_the_manifest(
    cache: Cache, root: Path, key_of: KeyOf, fill: Callable[..., None]
) -> None:
    fill([1])
    (root / "v1" / key_of(1) / "f1").unlink()
    manifest = (root / "v1" / key_of(1) / "manifest").stat().st_size
    assert done(cache.collect(budget_bytes=0, min_age_s=0)).freed_bytes == manifest


def test_entry_that_another_set_aside_and_left_is_counted_when_it_is_deleted(
    cache: Cache, root: Path, key_of: KeyOf, fill: Callable[..., None]
) -> None:
    fill([1])
    entry = root / "v1" / key_of(1)
    size = sum(path.stat().st_size for path in entry.iterdir())
    entry.rename(root / "trash" / layout.trash_name(entry.name))
    answer = done(cache.collect(budget_bytes="unlimited"))
    assert (answer.evicted, answer.freed_bytes) == (0, size)


def test_staging_that_another_set_aside_and_left_is_not_counted(cache: Cache, root: Path) -> None:
    cache.collect()
    left = root / "trash" / layout.trash_name(layout.staging_name("0" * 64))
    left.mkdir()
    (left / "f1").write_bytes(b"frame")
    assert done(cache.collect()).freed_bytes == 0
    assert not left.exists()


def test_dry_run_changes_nothing_and_says_what_would_go(
    cache: Cache, root: Path, key_of: KeyOf, tree: Tree, fill: Callable[..., None]
) -> None:
    fill([1, 2, 3])
    cache.collect(budget_bytes="unlimited")
    (root / "trash" / "left").mkdir()
    dead = root / "staging" / f"{key_of(1)}.{'0' * 32}"
    dead.mkdir()
    os.utime(dead, (1, 1))
    os.utime(root / "v1" / key_of(3), (4_000_000_000, 4_000_000_000))
    before = tree(root)
    said = done(cache.collect(budget_bytes=entry_size(root), dry_run=True))
    assert tree(root) == before
    did = done(cache.collect(budget_bytes=entry_size(root)))
    assert said.dry_run
    assert (said.evicted, said.freed_bytes, said.reaped) == (did.evicted, did.freed_bytes, 1)


def test_dry_run_passes_over_what_it_cannot_open(
    cache: Cache,
    root: Path,
    key_of: KeyOf,
    fill: Callable[..., None],
    just_before: Callable[..., None],
) -> None:
    fill([1, 2])
    place = root / "v1" / key_of(1)

    def a_file_comes_in_its_place() -> None:
        shutil.rmtree(place)
        place.write_text("not an entry")

    just_before(collect, "_count_only", a_file_comes_in_its_place)
    answer = done(cache.collect(budget_bytes=0, dry_run=True))
    assert (answer.evicted, answer.protected) == (1, {"enotdir": 1})


@pytest.mark.parametrize("step", ["drain", "reap_staging", "_reclaim_generations"])
def test_step_that_fails_does_not_lose_what_was_evicted_before_it(
    cache: Cache, fill: Callable[..., None], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_arguments: object, **_named: object) -> None:
        raise OSError(5, "Input/output error")

    fill([1, 2])
    monkeypatch.setattr(collect, step, fail)
    answer = done(cache.collect(budget_bytes=0))
    assert (answer.evicted, answer.protected) == (2, {"eio": 1})
    assert cache.stats().counters["evicted"] == 2


@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO])
@pytest.mark.parametrize(("where", "name"), [(Access, "complete_root"), (upkeep, "collect")])
def test_collect_that_is_skipped_for_an_errno_is_counted_as_every_skip(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, where: object, name: str, error: int
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(where, name, fail)
    answer = cache.collect()
    assert isinstance(answer, Skipped)
    assert (answer.reason, cache.stats().counters["collect_skipped.degraded"]) == ("degraded", 1)


# --- several collectors


def test_second_collector_is_skipped(cache: Cache, root: Path, child: Child) -> None:
    other = child(
        """
fd = os.open(os.path.join(sys.argv[1], "ctl", "gc.lock"), os.O_RDWR)
syscalls.lock_exclusive(fd); say("collecting"); hear()
""",
        root,
    )
    assert other.heard() == "collecting"
    other.stop()
    answer = cache.collect()
    assert isinstance(answer, Skipped)
    assert answer.reason == "another-collector"
    other.kill()
    done(cache.collect())


def test_stopped_collector_is_warned_about_when_over_budget(
    cache: Cache, fill: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    fill([1])
    root = cache.access.root()
    assert root is not None
    with syscalls.opened("gc.lock", os.O_RDWR, dir_fd=root.ctl_fd) as other:
        syscalls.lock_exclusive(other)
        for _ in range(3):
            cache.collect(budget_bytes=0)
    assert [record.message for record in caplog.records if "skipped" in record.message] != []
    assert len(caplog.records) == 1
    assert cache.stats().counters["collect_skipped.another-collector"] == 3


def test_two_collectors_free_each_byte_once(
    root: Path, cache: Cache, child: Child, fill: Callable[..., None]
) -> None:
    fill([1, 2, 3, 4, 5, 6])
    size = entry_size(root)
    collectors = [
        child(
            """
cache = Cache.open(sys.argv[1], min_age_s=0); say("open"); hear()
done = cache.collect(budget_bytes=0)
say(0 if isinstance(done, Skipped) else done.freed_bytes)
""",
            root,
        )
        for _ in range(3)
    ]
    for one in collectors:
        assert one.heard() == "open"
    for one in collectors:
        one.tell()
    assert sum(int(one.heard()) for one in collectors) == 6 * size
    assert cache.stats().entries == 0


# --- clocks


def test_future_recency_counts_as_now(
    cache: Cache,
    root: Path,
    key_of: KeyOf,
    fill: Callable[..., None],
    left: Callable[[], list[int]],
) -> None:
    fill([1, 2])
    os.utime(root / "v1" / key_of(1), (4_000_000_000, 4_000_000_000))
    cache.collect(budget_bytes=0)
    assert left() == [1]


def test_however_far_in_the_future_all_count_as_now(
    cache: Cache,
    root: Path,
    key_of: KeyOf,
    fill: Callable[..., None],
    left: Callable[[], list[int]],
) -> None:
    fill([1, 2])
    os.utime(root / "v1" / key_of(1), (4_000_000_000, 4_000_000_000))
    os.utime(root / "v1" / key_of(2), (3_000_000_000, 3_000_000_000))
    cache.collect(budget_bytes=entry_size(root), min_age_s=0)
    assert left() == [2]


def test_future_recency_ages_from_the_next_collect_on(
    cache: Cache,
    root: Path,
    clock: Any,
    key_of: KeyOf,
    fill: Callable[..., None],
    left: Callable[[], list[int]],
) -> None:
    fill([1])
    os.utime(root / "v1" / key_of(1), (4_000_000_000, 4_000_000_000))
    cache.collect(budget_bytes=0)
    clock.now_s += HOUR_S
    cache.collect(budget_bytes=0)
    assert left() == []


@pytest.mark.parametrize("jump_s", [-86400.0, 86400.0])
def test_clock_that_jumps_a_day_evicts_nothing_within_the_budget(
    cache: Cache,
    clock: Any,
    fill: Callable[..., None],
    left: Callable[[], list[int]],
    jump_s: float,
) -> None:
    fill([1, 2, 3])
    clock.now_s += jump_s
    cache.collect()
    assert left() == [1, 2, 3]


@pytest.mark.parametrize("jump_s", [-86400.0, 86400.0])
def test_order_of_later_touches_is_right_after_a_jump(
    cache: Cache,
    root: Path,
    clock: Any,
    key_of: KeyOf,
    hit: Hit,
    fill: Callable[..., None],
    left: Callable[[], list[int]],
    jump_s: float,
) -> None:
    fill([1, 2, 3])
    clock.now_s += jump_s
    for number in (3, 1, 2):
        clock.now_s += 400
        hit(cache, key_of(number)).release()
    clock.now_s += 2 * HOUR_S
    cache.collect(budget_bytes=entry_size(root))
    assert left() == [2]


# --- by itself


def test_publish_over_the_budget_collects_by_itself(
    open_cache: OpenCache, clock: Any, key_of: KeyOf, put: Put, left: Callable[[], list[int]]
) -> None:
    cache = open_cache(clock=clock, budget_bytes=3 * PAYLOAD, min_age_s=0)
    for number in range(10):
        clock.now_s += 60
        put(cache, key_of(number), {"f1": bytes(PAYLOAD)})
    assert left() == [8, 9]


def test_cache_that_is_full_of_leased_entries_is_not_listed_at_each_publish(
    open_cache: OpenCache, clock: Any, key_of: KeyOf, put: Put
) -> None:
    cache = open_cache(clock=clock, budget_bytes=2 * PAYLOAD, min_age_s=0)
    held = [put(cache, key_of(n), {"f1": bytes(PAYLOAD)}, hold=True) for n in range(6)]
    assert cache.stats().counters["collected"] == 1
    for frames in held:
        frames.release()


def test_cache_that_never_fills_is_swept_once_a_day(
    cache: Cache, clock: Any, key_of: KeyOf, put: Put
) -> None:
    put(cache, key_of(1))
    assert "collected" not in cache.stats().counters
    clock.now_s += 25 * HOUR_S
    put(cache, key_of(2))
    assert cache.stats().counters["collected"] == 1


def test_collects_leak_no_descriptor(
    cache: Cache,
    key_of: KeyOf,
    hit: Hit,
    fill: Callable[..., None],
    descriptors: Callable[[], int],
) -> None:
    before = descriptors()
    fill([1, 2, 3])
    with hit(cache, key_of(1)):
        cache.collect(budget_bytes=0, dry_run=True)
        cache.collect(budget_bytes=0)
    cache.collect(budget_bytes=0, min_age_s=0)
    assert descriptors() == before
