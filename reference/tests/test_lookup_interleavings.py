"""What a lookup sees when a collector, a writer or an outsider comes in between its steps."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from untorn import Cache, Frames, MissReason, lookup, syscalls

Put = Callable[..., Frames]
JustBefore = Callable[..., None]


@pytest.fixture
def entry(cache: Cache, root: Path, key: str, put: Put) -> Path:
    put(cache, key, {"f1": b"old"})
    return root / "v1" / key


def evict(entry: Path) -> None:
    entry.rename(entry.parents[1] / "trash" / "evicted")


def test_entry_that_is_evicted_between_open_and_lock_is_absent(
    cache: Cache, entry: Path, key: str, just_before: JustBefore
) -> None:
    just_before(syscalls, "lock_shared", lambda: evict(entry))
    found = cache.lookup(key)
    assert not isinstance(found, Frames)
    assert found.reason is MissReason.ABSENT


def test_entry_that_is_replaced_between_open_and_lock_is_the_new_one(
    cache: Cache, entry: Path, key: str, put: Put, just_before: JustBefore
) -> None:
    def replace() -> None:
        evict(entry)
        put(cache, key, {"f1": b"new"})

    just_before(syscalls, "lock_shared", replace)
    with cache.lookup(key) as found:  # type: ignore[union-attr]
        assert (found.read(0), found.directory) == (b"new", str(entry))
        assert os.fstat(found.directory_fd).st_ino == entry.stat().st_ino


def test_entry_that_an_outsider_deletes_between_lock_and_manifest_is_incomplete(
    cache: Cache, entry: Path, key: str, just_before: JustBefore
) -> None:
    just_before(lookup, "read_manifest", lambda: shutil.rmtree(entry))
    found = cache.lookup(key)
    assert not isinstance(found, Frames)
    assert found.reason is MissReason.INCOMPLETE


def test_manifest_that_an_outsider_deletes_before_the_files_are_checked_is_damage(
    cache: Cache, entry: Path, key: str, just_before: JustBefore
) -> None:
    os.utime(entry, (1, 1))
    just_before(lookup, "check_files", (entry / "manifest").unlink)
    found = cache.lookup(key)
    assert not isinstance(found, Frames)
    assert found.reason is MissReason.DAMAGED


def test_root_that_is_moved_away_during_a_lookup_gives_no_hit(
    cache: Cache, entry: Path, root: Path, key: str, put: Put, just_before: JustBefore
) -> None:
    just_before(syscalls, "lock_shared", lambda: root.rename(root.with_name("away")))
    found = cache.lookup(key)
    assert not isinstance(found, Frames)
    assert found.reason is MissReason.ABSENT
    put(cache, key, {"f1": b"new"})
    assert (entry / "f1").read_bytes() == b"new"


def test_root_that_is_moved_away_before_a_lookup_gives_no_hit(
    cache: Cache, entry: Path, root: Path, key: str
) -> None:
    root.rename(root.with_name("away"))
    found = cache.lookup(key)
    assert not isinstance(found, Frames)
    assert found.reason is MissReason.ABSENT
    assert entry.parent.is_dir()


def test_no_interleaving_leaks_a_descriptor(
    cache: Cache,
    entry: Path,
    key: str,
    just_before: JustBefore,
    descriptors: Callable[[], int],
) -> None:
    before = descriptors()
    just_before(syscalls, "lock_shared", lambda: evict(entry))
    cache.lookup(key)
    assert descriptors() == before
