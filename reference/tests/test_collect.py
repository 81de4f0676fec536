"""Collect: least recently used first, down to the budget, and never what is in use (G)."""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Collected, Frames, Skipped, collect, syscalls

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


@pytest.fixture
def fill(cache: Cache, clock: Any, key_of: KeyOf, put: Put) -> Callable[..., None]:
    """Publish entries of one size, each a minute after the one before; an hour and more ago."""

    def publish(numbers: Sequence[int]) -> None:
        clock.now_s -= 2 * HOUR_S
        for number in numbers:
            clock.now_s += 60
            put(cache, key_of(number), {"f1": bytes(PAYLOAD)})
        clock.now_s += 2 * HOUR_S - 60 * len(numbers)

    return publish


@pytest.fixture
def left(root: Path) -> Callable[[], list[int]]:
    """The numbers of the keys that are left."""
    return lambda: sorted(int(path.name, 16) for path in (root / "v1").iterdir())


def entry_size(root: Path) -> int:
    one = next((root / "v1").iterdir())
    return sum(path.stat().st_size for path in one.iterdir())


def done(answer: Collected | Skipped) -> Collected:
    assert isinstance(answer, Collected), answer
    return answer


# --- what goes, and in which order


def test_least_recently_used_go_first(
    cache: Cache, root: Path, fill: Callable[..., None], left: Callable[[], list[int]]
) -> None:
    fill([3, 1, 4, 2])
    cache.collect(budget_bytes=2 * entry_size(root))
    assert left() == [2, 4]


def test_hit_makes_an_entry_recent(
    cache: Cache,
    root: Path,
    clock: Any,
    key_of: KeyOf,
    hit: Hit,
    fill: Callable[..., None],
    left: Callable[[], list[int]],
) -> None:
    fill([1, 2, 3])
    hit(cache, key_of(1)).release()
    clock.now_s += 2 * HOUR_S
    cache.collect(budget_bytes=entry_size(root))
    assert left() == [1]


def test_ties_go_by_key(
    cache: Cache, root: Path, fill: Callable[..., None], left: Callable[[], list[int]]
) -> None:
    fill([5, 2, 9, 7])
    for path in (root / "v1").iterdir():
        os.utime(path, (1_000_000_000, 1_000_000_000))
    cache.collect(budget_bytes=2 * entry_size(root))
    assert left() == [7, 9]


def test_budget_of_zero_evicts_all_that_is_unprotected(
    cache: Cache, fill: Callable[..., None], left: Callable[[], list[int]]
) -> None:
    fill([1, 2, 3])
    assert done(cache.collect(budget_bytes=0)).evicted == 3
    assert left() == []


def test_unlimited_evicts_nothing(
    cache: Cache, fill: Callable[..., None], left: Callable[[], list[int]]
) -> None:
    fill([1, 2, 3])
    assert done(cache.collect(budget_bytes="unlimited")).over_budget_bytes == 0
    assert left() == [1, 2, 3]


def test_within_the_budget_nothing_goes(
    cache: Cache, root: Path, fill: Callable[..., None], left: Callable[[], list[int]]
) -> None:
    fill([1, 2, 3])
    assert done(cache.collect(budget_bytes=3 * entry_size(root))).evicted == 0
    assert left() == [1, 2, 3]


def test_one_byte_over_takes_one_entry(
    cache: Cache, root: Path, fill: Callable[..., None], left: Callable[[], list[int]]
) -> None:
    fill([1, 2, 3])
    cache.collect(budget_bytes=3 * entry_size(root) - 1)
    assert left() == [2, 3]


def test_configured_budget_is_the_default(
    open_cache: OpenCache, clock: Any, fill: Callable[..., None], left: Callable[[], list[int]]
) -> None:
    fill([1, 2, 3])
    open_cache(clock=clock, budget_bytes=0).collect()
    assert left() == []


# --- what is protected


def test_young_entries_stay_whatever_the_budget(
    cache: Cache, clock: Any, key_of: KeyOf, put: Put, left: Callable[[], list[int]]
) -> None:
    put(cache, key_of(1))
    clock.now_s += HOUR_S - 1
    answer = done(cache.collect(budget_bytes=0))
    assert (answer.evicted, answer.protected) == (0, {"young": 1})
    assert answer.over_budget_bytes == answer.entry_bytes > 0
    clock.now_s += 1
    cache.collect(budget_bytes=0)
    assert left() == []


def test_leased_entries_stay_and_are_reported(
    cache: Cache,
    root: Path,
    key_of: KeyOf,
    hit: Hit,
    fill: Callable[..., None],
    left: Callable[[], list[int]],
) -> None:
    fill([1, 2])
    size = entry_size(root)
    with hit(cache, key_of(1)):
        answer = done(cache.collect(budget_bytes=0, min_age_s=0))
    assert (answer.evicted, answer.protected) == (1, {"leased": 1})
    assert answer.over_budget_bytes == size
    assert left() == [1]


def test_entry_that_is_touched_after_the_listing_is_not_evicted(
    cache: Cache,
    key_of: KeyOf,
    hit: Hit,
    fill: Callable[..., None],
    left: Callable[[], list[int]],
    just_before: Callable[..., None],
) -> None:
    fill([1, 2])
    just_before(collect, "_evict", lambda: hit(cache, key_of(1)).release())
    answer = done(cache.collect(budget_bytes=0, min_age_s=0))
    assert (answer.evicted, answer.protected) == (1, {"changed": 1})
    assert left() == [1]


def test_entry_that_is_replaced_after_the_listing_is_not_evicted(
    cache: Cache,
    root: Path,
    key_of: KeyOf,
    put: Put,
    fill: Callable[..., None],
    left: Callable[[], list[int]],
    just_before: Callable[..., None],
) -> None:
    fill([1])
    stamp = (root / "v1" / key_of(1)).stat().st_mtime_ns

    def replace() -> None:
        shutil.rmtree(root / "v1" / key_of(1))
        (root / "v1" / key_of(7)).mkdir()  # so that the inode's number is taken
        put(cache, key_of(1))
        os.utime(root / "v1" / key_of(1), ns=(stamp, stamp))
        (root / "v1" / key_of(7)).rmdir()

    just_before(collect, "_evict", replace)
    assert done(cache.collect(budget_bytes=0)).evicted == 0
    assert left() == [1]


def test_entry_that_is_gone_after_the_listing_is_not_counted(
    cache: Cache,
    root: Path,
    key_of: KeyOf,
    fill: Callable[..., None],
    just_before: Callable[..., None],
) -> None:
    fill([1, 2])
    just_before(collect, "_evict", lambda: shutil.rmtree(root / "v1" / key_of(1)))
    assert done(cache.collect(budget_bytes=0)).evicted == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="UNKNOWN: only root can give a directory away")
def test_entry_of_another_user_stays(
    cache: Cache,
    root: Path,
    key_of: KeyOf,
    nobody: int,
    fill: Callable[..., None],
    left: Callable[[], list[int]],
) -> None:
    fill([1, 2])
    os.chown(root / "v1" / key_of(1), nobody, -1)
    assert done(cache.collect(budget_bytes=0)).protected == {"foreign": 1}
    assert left() == [1]


FOREIGN = ["animated-gif", "photos.partial-2019", "v1x", "0" * 63, "F" * 64, ".hidden"]


@pytest.mark.parametrize("where", ["v1", "staging", "."])
def test_foreign_names_are_not_touched(
    cache: Cache, root: Path, clock: Any, tree: Tree, where: str
) -> None:
    for name in FOREIGN:
        (root / where / name).mkdir()
        (root / where / name / "frame_1.png").write_bytes(b"not ours")
    (root / where / "file.txt").write_text("not ours either")
    os.utime(root / where / "file.txt", (1, 1))
    before = [tree(root / where / name) for name in (*FOREIGN, "file.txt")]
    clock.now_s += 10 * HOUR_S
    cache.collect(budget_bytes=0, min_age_s=0)
    assert [tree(root / where / name) for name in (*FOREIGN, "file.txt")] == before


def test_symlink_under_a_keys_name_is_not_followed(
    cache: Cache, root: Path, key_of: KeyOf, tree: Tree, fill: Callable[..., None]
) -> None:
    fill([2])
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "f1").write_bytes(b"not ours")
    (root / "v1" / key_of(1)).symlink_to(outside)
    before = tree(outside)
    assert done(cache.collect(budget_bytes=0)).evicted == 1
    assert tree(outside) == before


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


def test_freed_bytes_are_those_on_the_disk_and_not_those_of_the_ledger(
    cache: Cache, root: Path, key_of: KeyOf, fill: Callable[..., None]
) -> None:
    fill([1])
    (root / "v1" / key_of(1) / "f1").unlink()
    manifest = (root / "v1" / key_of(1) / "manifest").stat().st_size
    assert done(cache.collect(budget_bytes=0, min_age_s=0)).freed_bytes == manifest


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


@pytest.mark.parametrize(
    "step", ["drain", "reap_staging", "_reclaim_generations", "_shorten_ledger"]
)
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
