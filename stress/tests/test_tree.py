from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from untorn_conformance.probe import Kind
from untorn_stress.tree import Node, Tree, TreeError, UnreadableError, capture, file_node

NS = 1_234_567_890_123_456_789


def put(path: Path, content: bytes = b"", *, mode: int = 0o644, mtime_ns: int = NS) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    made.mkdir(mode=0o700)
    return made


def test_a_file_has_its_bytes_mode_and_mtime(root: Path) -> None:
    put(root / "a", b"hello", mode=0o640, mtime_ns=NS + 1)
    assert capture(root).nodes["a"] == Node(Kind.FILE, 0o640, NS + 1, size=5, runs=((0, b"hello"),))


def test_an_empty_file_has_no_runs(root: Path) -> None:
    put(root / "a")
    assert capture(root).nodes["a"] == file_node(b"", mtime_ns=NS)


def test_the_root_has_its_own_mode_and_mtime(root: Path) -> None:
    root.chmod(0o1755)
    os.utime(root, ns=(NS, NS))
    assert capture(root) == Tree({"": Node(Kind.DIRECTORY, 0o1755, NS)})


def test_directories_come_before_what_is_in_them(root: Path) -> None:
    (root / "a/b/c").mkdir(parents=True)
    put(root / "a/b/f")
    paths = list(capture(root).nodes)
    assert paths[:3] == ["", "a", "a/b"]
    assert set(paths[3:]) == {"a/b/c", "a/b/f"}


def test_a_symlink_is_its_text_and_is_not_followed(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    put(outside / "secret", b"x")
    (root / "to_directory").symlink_to(outside)
    (root / "to_nothing").symlink_to("../nothing")
    nodes = capture(root).nodes
    assert sorted(nodes) == ["", "to_directory", "to_nothing"]
    assert nodes["to_directory"].kind is Kind.SYMLINK
    assert nodes["to_directory"].target == str(outside)
    assert nodes["to_nothing"].target == "../nothing"


def test_a_fifo_does_not_block(root: Path) -> None:
    os.mkfifo(root / "pipe", 0o600)
    assert capture(root).nodes["pipe"].kind is Kind.FIFO


def test_hard_links_are_groups_numbered_by_their_first_names(root: Path) -> None:
    put(root / "z", b"1")
    os.link(root / "z", root / "b")
    put(root / "a", b"2")
    os.link(root / "a", root / "y")
    nodes = capture(root).nodes
    assert {path: node.group for path, node in nodes.items() if path} == {
        "a": 1,
        "y": 1,
        "b": 2,
        "z": 2,
    }


def test_a_link_from_outside_makes_no_group(root: Path, tmp_path: Path) -> None:
    put(root / "a", b"1")
    os.link(root / "a", tmp_path / "outside")
    assert capture(root).nodes["a"].group == 0


def test_holes_are_kept_as_holes(root: Path) -> None:
    with (root / "sparse").open("wb") as file:
        file.truncate(1 << 40)
        os.pwrite(file.fileno(), b"data" * 1024, 1 << 30)
    node = capture(root).nodes["sparse"]
    assert node.size == 1 << 40
    assert [offset for offset, _ in node.runs] == [1 << 30]


def test_content_reads_holes_as_zeros() -> None:
    node = Node(Kind.FILE, 0o644, 0, size=9, runs=((1, b"ab"), (5, b"c")))
    assert node.content == b"\0ab\0\0c\0\0\0"


def test_names_and_targets_that_are_not_text_are_kept(root: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    os.symlink(os.fsdecode(b"\xff"), root / name)
    assert os.fsencode(capture(root).nodes[name].target) == b"\xff"


def test_taking_a_tree_changes_no_time(root: Path) -> None:
    path = put(root / "a", b"x")
    os.utime(path, ns=(0, NS))
    before = path.stat()
    capture(root)
    after = path.stat()
    assert (after.st_atime_ns, after.st_mtime_ns, after.st_ctime_ns) == (
        before.st_atime_ns,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )


def test_a_file_without_permission_is_read_by_root_and_an_error_for_others(root: Path) -> None:
    path = put(root / "a", b"x", mode=0)
    if os.geteuid() == 0:
        assert capture(root).nodes["a"] == file_node(b"x", mode=0, mtime_ns=NS)
    else:
        with pytest.raises(UnreadableError, match=f"{path} may not be read"):
            capture(root)
    assert stat.S_IMODE(path.stat().st_mode) == 0


def test_too_much_content_is_an_error_that_names_the_limit(root: Path) -> None:
    put(root / "a", b"x" * 600)
    put(root / "b", b"x" * 600)
    with pytest.raises(TreeError, match="more than 1000 bytes"):
        capture(root, limit_bytes=1000)


def test_a_root_that_is_a_link_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    with pytest.raises(TreeError, match="not a directory"):
        capture(f"{tmp_path}/link/")


def test_a_shifted_tree_differs_in_its_times_alone(root: Path) -> None:
    put(root / "a", b"x")
    tree = capture(root)
    shifted = tree.shifted(5_000_000_000)
    assert shifted.nodes["a"] == file_node(b"x", mtime_ns=NS + 5_000_000_000)
    assert shifted.shifted(-5_000_000_000) == tree


def test_a_shift_keeps_what_is_below_a_second(root: Path) -> None:
    put(root / "a", b"x")
    shifted = capture(root).shifted(1_999_999_999)
    assert shifted.nodes["a"].mtime_ns == NS + 1_000_000_000
