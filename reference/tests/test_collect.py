"""Collect: least recently used first, down to the budget, and never what is in use (G)."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Collected, Frames, Skipped, collect

OpenCache = Callable[..., Cache]
Put = Callable[..., Frames]
Hit = Callable[[Cache, str], Frames]
KeyOf = Callable[[int], str]
Tree = Callable[[Path], dict[str, tuple[Any, ...]]]
HOUR_S = 3600.0


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
        place = root / "v1" / key_of(1)
        kept = os.open(place, os.O_RDONLY)  # so that the inode's number stays taken
        shutil.rmtree(place)
        put(cache, key_of(1))
        os.utime(place, ns=(stamp, stamp))
        os.close(kept)

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
