from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest
from untorn_conformance import probe
from untorn_conformance.probe import Kind


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "folder" / "file").write_bytes(b"content")
    return root


def test_a_picture_has_every_name_below_the_root_and_not_the_root(tree: Path) -> None:
    assert list(probe.take(tree).entries) == ["folder", "folder/file"]


def test_a_file_has_its_size_mode_links_and_digest(tree: Path) -> None:
    (tree / "folder" / "file").chmod(0o640)
    os.link(tree / "folder" / "file", tree / "link")
    entry = probe.take(tree).entries["link"]
    assert (entry.kind, entry.size, entry.mode, entry.nlink) == (Kind.FILE, 7, 0o640, 2)
    assert entry.sha256 == hashlib.sha256(b"content").hexdigest()


def test_a_symlink_is_not_followed(tree: Path) -> None:
    (tree / "link").symlink_to("folder")
    picture = probe.take(tree)
    assert (picture.entries["link"].kind, picture.entries["link"].target) == (
        Kind.SYMLINK,
        "folder",
    )
    assert "link/file" not in picture.entries


def test_what_could_block_is_not_opened(tree: Path) -> None:
    os.mkfifo(tree / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tree / "socket"))
        picture = probe.take(tree)
    assert picture.entries["fifo"].kind is Kind.FIFO
    assert picture.entries["socket"].kind is Kind.SOCKET


def test_a_name_that_is_not_utf_8_is_seen(tree: Path) -> None:
    Path(os.fsdecode(os.fsencode(tree) + b"/\xff")).touch()
    assert "\udcff" in probe.take(tree).entries


def test_a_picture_leaves_access_times_alone(tree: Path) -> None:
    file = tree / "folder" / "file"
    os.utime(file, ns=(1, 2))
    probe.take(tree)
    assert file.stat().st_atime_ns == 1


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_no_directory_gives_an_empty_picture_that_says_so(tmp_path: Path, kind: str) -> None:
    if kind == "file":
        (tmp_path / kind).touch()
    picture = probe.take(tmp_path / kind)
    assert not picture.exists
    assert not picture.entries


def test_a_name_that_vanishes_while_we_look_is_counted(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listdir = os.listdir

    def remove_after_listing(path: str) -> list[str]:
        names = listdir(path)
        if path.endswith("folder"):
            (tree / "folder" / "file").unlink()
        return names

    monkeypatch.setattr(os, "listdir", remove_after_listing)
    picture = probe.take(tree)
    assert list(picture.entries) == ["folder"]
    assert picture.vanished == 1


def test_equal_pictures_do_not_differ(tree: Path) -> None:
    assert not probe.diff(probe.take(tree), probe.take(tree))


def test_a_difference_names_what_came_and_went(tree: Path) -> None:
    before = probe.take(tree)
    (tree / "folder" / "file").rename(tree / "folder" / "moved")
    difference = probe.diff(before, probe.take(tree))
    assert difference.added == {"folder/moved"}
    assert difference.removed == {"folder/file"}


def test_a_file_replaced_by_an_equal_one_differs_in_its_inode(tree: Path) -> None:
    file = tree / "folder" / "file"
    times = (1, 2)
    os.utime(file, ns=times)
    before = probe.take(tree)
    other = tree.parent / "other"
    other.write_bytes(file.read_bytes())
    os.utime(other, ns=times)
    other.replace(file)
    difference = probe.diff(before, probe.take(tree), ignore=frozenset({"mtime_ns"}))
    assert difference.changed == {"folder/file": {"inode"}}


def test_fields_that_do_not_count_are_ignored(tree: Path) -> None:
    before = probe.take(tree)
    os.utime(tree / "folder", ns=(1, 2))
    after = probe.take(tree)
    assert probe.diff(before, after).changed == {"folder": {"mtime_ns"}}
    assert not probe.diff(before, after, ignore=frozenset({"mtime_ns"}))


def test_aging_shifts_files_directories_and_links_themselves(tree: Path) -> None:
    outside = tree.parent / "outside"
    outside.write_bytes(b"")
    (tree / "link").symlink_to(outside)
    before, outside_before = probe.take(tree), outside.stat().st_mtime_ns
    assert probe.shift_mtimes(tree, 2.5) == 3
    after = probe.take(tree)
    for path, entry in before.entries.items():
        assert entry.mtime_ns - after.entries[path].mtime_ns == 2_500_000_000
    assert outside.stat().st_mtime_ns == outside_before
