"""The specimens' collector and its removals, on trees that are put there by hand."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from untorn_conformance.specimens.removal import DeletionOrder, remove_tree
from untorn_conformance.specimens.sweep import Sweep, Swept

NOW_S = 1_000_000
SENTINEL = ".hf-complete"


def plant(root: Path, name: str, *, used_s: int, changed_s: int = 0, sentinel: bool = True) -> Path:
    """A directory with two frames of ten bytes, last used and last changed so many seconds ago."""
    directory = root / name
    directory.mkdir()
    for number in (1, 2):
        (directory / f"frame_{number:05}.png").write_bytes(bytes(10))
    if sentinel:
        (directory / SENTINEL).touch()
        os.utime(directory / SENTINEL, (0, NOW_S - used_s))
    os.utime(directory, (0, NOW_S - changed_s))
    return directory


def sweep(
    root: Path,
    *,
    budget_bytes: int = 0,
    min_age_s: float = 0,
    order: DeletionOrder = DeletionOrder.SORTED,
    dry_run: bool = False,
) -> Swept:
    now_ns = NOW_S * 10**9
    one = Sweep(min_age_s=min_age_s, now_ns=now_ns, order=order, dry_run=dry_run)
    return one.run(str(root), budget_bytes=budget_bytes)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def refuse(path: str) -> None:
    raise PermissionError(errno.EACCES, "refused", path)


@pytest.fixture
def removed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that are unlinked, in their order."""
    seen: list[str] = []
    unlink = os.unlink

    def record(path: str) -> None:
        seen.append(os.path.basename(path))
        unlink(path)

    monkeypatch.setattr(os, "unlink", record)
    return seen


# --- eviction


def test_the_least_recently_used_go_first_until_the_budget_is_kept(tmp_path: Path) -> None:
    for name, used_s in (("hfcache-v3-b", 2), ("hfcache-v3-c", 3), ("hfcache-v3-a", 1)):
        plant(tmp_path, name, used_s=used_s)
    assert sweep(tmp_path, budget_bytes=20) == Swept(evicted=2, freed_bytes=40, left_bytes=20)
    assert names(tmp_path) == ["hfcache-v3-a"]


def test_entries_used_at_once_go_in_the_order_of_their_names(tmp_path: Path) -> None:
    """In whatever order the file system lists them: eight names are hardly ever listed sorted."""
    for letter in "dgahcfbe":
        plant(tmp_path, f"hfcache-v3-{letter}", used_s=1)
    sweep(tmp_path, budget_bytes=80)
    assert names(tmp_path) == [f"hfcache-v3-{letter}" for letter in "efgh"]


def test_what_was_used_within_the_age_is_kept_and_said(tmp_path: Path) -> None:
    plant(tmp_path, "hfcache-v3-old", used_s=100)
    plant(tmp_path, "hfcache-v3-young", used_s=99)
    swept = sweep(tmp_path, min_age_s=100)
    assert swept == Swept(evicted=1, freed_bytes=20, left_bytes=20, young=1)
    assert names(tmp_path) == ["hfcache-v3-young"]


def test_an_entry_is_as_old_as_its_sentinel_and_not_as_its_directory(tmp_path: Path) -> None:
    plant(tmp_path, "hfcache-v3-a", used_s=1, changed_s=1000)
    assert sweep(tmp_path, min_age_s=100).young == 1


def test_without_a_sentinel_an_entry_is_as_old_as_its_directory(tmp_path: Path) -> None:
    plant(tmp_path, "hfcache-v3-a", used_s=0, changed_s=1000, sentinel=False)
    assert sweep(tmp_path, min_age_s=100).evicted == 1


def test_folders_in_an_entry_count_and_go(tmp_path: Path) -> None:
    entry = plant(tmp_path, "hfcache-v3-a", used_s=1)
    (entry / "folder").mkdir()
    (entry / "folder" / "file").write_bytes(bytes(5))
    assert sweep(tmp_path).freed_bytes == 25
    assert names(tmp_path) == []


def test_a_dry_run_counts_and_removes_nothing(tmp_path: Path) -> None:
    plant(tmp_path, "hfcache-v3-a", used_s=1)
    plant(tmp_path, "hfcache-v3-a.partial-1-00000000", used_s=1)
    before = names(tmp_path)
    assert sweep(tmp_path, dry_run=True) == Swept(evicted=1, freed_bytes=20, reaped=1)
    assert names(tmp_path) == before


def test_what_is_not_the_caches_is_passed_by(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    plant(root, "animated-gif", used_s=1)
    (root / "hfcache-v3-link").symlink_to(plant(tmp_path, "elsewhere", used_s=1))
    (root / "hfcache-v3-file").touch()
    assert sweep(root) == Swept()


def test_entries_of_older_generations_are_evicted(tmp_path: Path) -> None:
    plant(tmp_path, "hfcache-v2-a", used_s=1)
    assert sweep(tmp_path).evicted == 1


def test_what_cannot_be_removed_is_counted_as_evicted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, "hfcache-v3-a", used_s=1)
    monkeypatch.setattr(os, "unlink", refuse)
    assert sweep(tmp_path) == Swept(evicted=1, freed_bytes=20, ignored_errors=1)


def test_what_cannot_be_looked_at_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path, "hfcache-v3-a", used_s=1)
    monkeypatch.setattr(os, "lstat", refuse)
    assert sweep(tmp_path) == Swept(ignored_errors=1)


def test_a_root_that_is_gone_is_an_empty_one(tmp_path: Path) -> None:
    assert sweep(tmp_path / "gone") == Swept(ignored_errors=1)


# --- unpublished work


def test_old_work_is_reaped_whatever_the_budget_and_young_work_is_not(tmp_path: Path) -> None:
    plant(tmp_path, "hfcache-v3-a.partial-1-00000000", used_s=0, changed_s=100)
    plant(tmp_path, "hfcache-v3-a.partial-2-00000000", used_s=0, changed_s=99)
    swept = sweep(tmp_path, budget_bytes=10**9, min_age_s=100)
    assert swept == Swept(reaped=1, left_bytes=20)
    assert names(tmp_path) == ["hfcache-v3-a.partial-2-00000000"]


def test_young_work_counts_towards_the_budget(tmp_path: Path) -> None:
    plant(tmp_path, "hfcache-v3-a", used_s=200)
    plant(tmp_path, "hfcache-v3-b.partial-1-00000000", used_s=0)
    assert sweep(tmp_path, budget_bytes=20, min_age_s=100).evicted == 1


# --- removal


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (DeletionOrder.SORTED, [SENTINEL, "frame_00001.png", "frame_00002.png"]),
        (DeletionOrder.REVERSED, ["frame_00002.png", "frame_00001.png", SENTINEL]),
        (DeletionOrder.AS_LISTED, ["frame_00002.png", SENTINEL, "frame_00001.png"]),
    ],
)
def test_an_entry_is_removed_in_the_order_that_was_asked_for(
    order: DeletionOrder,
    expected: list[str],
    tmp_path: Path,
    removed: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = ["frame_00002.png", SENTINEL, "frame_00001.png"]
    plant(tmp_path, "hfcache-v3-a", used_s=1)
    monkeypatch.setattr(os, "listdir", lambda _path: listed)
    sweep(tmp_path, order=order)
    assert removed == expected


@pytest.mark.parametrize(
    ("order", "left"),
    [
        (DeletionOrder.SORTED, ["frame_00001.png", "frame_00002.png"]),
        (DeletionOrder.REVERSED, [SENTINEL, "frame_00001.png"]),
    ],
)
def test_the_order_decides_whether_what_is_left_looks_complete(
    order: DeletionOrder, left: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = plant(tmp_path, "hfcache-v3-a", used_s=1)
    unlink = os.unlink

    def die_after_the_first(path: str) -> None:
        unlink(path)
        monkeypatch.setattr(os, "unlink", refuse)

    monkeypatch.setattr(os, "unlink", die_after_the_first)
    sweep(tmp_path, order=order)
    assert names(entry) == left


def test_what_is_gone_already_is_removed(tmp_path: Path) -> None:
    remove_tree(str(tmp_path / "never there"), DeletionOrder.SORTED)


def test_a_name_that_somebody_else_removed_does_not_end_a_removal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = plant(tmp_path, "hfcache-v3-a", used_s=1)
    listed = [*os.listdir(entry), "a name that is gone"]
    monkeypatch.setattr(os, "listdir", lambda _path: listed)
    remove_tree(str(entry), DeletionOrder.SORTED)
    assert not entry.exists()
