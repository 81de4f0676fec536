from __future__ import annotations

import mmap
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from untorn_conformance.probe import Kind
from untorn_stress.tree import Node, Tree, capture, file_node
from untorn_stress.tree_check import InvalidTreeError
from untorn_stress.tree_order import reorder
from untorn_stress.tree_restore import Restorer, restore

NS = 1_234_567_890_123_456_789
FOLDER = Node(Kind.DIRECTORY, 0o755, NS)
ROOT = Node(Kind.DIRECTORY, 0o700, NS + 7)
TREE = Tree(
    {
        "": ROOT,
        "v1": Node(Kind.DIRECTORY, 0o750, NS + 1),
        "v1/entry": Node(Kind.DIRECTORY, 0o555, NS + 2),
        "v1/entry/frame_1": file_node(b"one", mode=0o444, mtime_ns=NS + 3),
        "v1/entry/frame_2": file_node(b"two" * 5000, mode=0o444, mtime_ns=NS + 3),
        "link": Node(Kind.SYMLINK, 0o777, NS + 4, target="v1/entry"),
        "pipe": Node(Kind.FIFO, 0o600, NS + 5),
    }
)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "root"
    for folder, _, _ in os.walk(tmp_path):
        Path(folder).chmod(0o700)  # so that whoever is not root can clean up


def inodes(root: Path) -> dict[str, int]:
    return {path: (root / path).lstat().st_ino for path in capture(root).nodes}


def stamps(root: Path) -> dict[str, tuple[int, int, int]]:
    status = {path: (root / path).lstat() for path in capture(root).nodes}
    return {path: (at.st_ino, at.st_mode, at.st_ctime_ns) for path, at in status.items()}


def test_a_root_is_made_where_there_is_none(root: Path) -> None:
    assert restore(TREE, root)
    assert capture(root) == TREE


def test_the_second_time_nothing_changes(root: Path) -> None:
    restorer = Restorer(root)
    restorer.restore(TREE)
    before = stamps(root)
    assert not restorer.restore(TREE)
    assert stamps(root) == before


def test_what_the_kernel_dated_is_dated_by_us_from_the_first_time_on(root: Path) -> None:
    root.mkdir()
    (root / "v1").mkdir()
    (root / "v1/file").touch()
    assert root.stat().st_mtime_ns == root.stat().st_ctime_ns
    restore(capture(root), root)
    dated = [path.stat() for path in (root, root / "v1", root / "v1/file")]
    assert not [each for each in dated if each.st_mtime_ns == each.st_ctime_ns]


def test_one_restorer_goes_from_tree_to_tree(root: Path) -> None:
    restorer = Restorer(root)
    other = Tree({"": ROOT, "v1": file_node(b"no directory", mtime_ns=NS)})
    for tree in (TREE, other, TREE, other):
        assert restorer.restore(tree)
        assert capture(root) == tree


def test_what_is_too_much_goes_without_anything_made_anew(root: Path) -> None:
    restore(TREE, root)
    before = inodes(root)
    (root / "v1/entry").chmod(0o755)
    (root / "v1/entry/frame_3").write_bytes(b"x")
    (root / "v1/other/deep").mkdir(parents=True)
    (root / "v1/other/deep/f").touch()
    assert not restore(TREE, root)
    assert capture(root) == TREE
    assert inodes(root) == before


def test_a_changed_file_is_rewritten_in_place(root: Path) -> None:
    restore(TREE, root)
    before = inodes(root)
    for name, content in (("frame_1", b"longer than before"), ("frame_2", b"short")):
        (root / "v1/entry" / name).chmod(0o600)
        (root / "v1/entry" / name).write_bytes(content)
    assert not restore(TREE, root)
    assert capture(root) == TREE
    assert inodes(root) == before


def test_a_change_with_its_mtime_set_back_is_noticed(root: Path) -> None:
    restorer = Restorer(root)
    restorer.restore(TREE)
    path = root / "v1/entry/frame_1"
    path.chmod(0o644)
    path.write_bytes(b"eno")
    path.chmod(0o444)
    os.utime(path, ns=(NS + 3, NS + 3))
    restorer.restore(TREE)
    assert path.read_bytes() == b"one"


def test_a_store_through_a_shared_mapping_is_noticed(root: Path) -> None:
    tree = Tree({"": ROOT, "index": file_node(b"0" * 4096, mode=0o600, mtime_ns=NS)})
    restorer = Restorer(root)
    restorer.restore(tree)
    with (root / "index").open("r+b") as file, mmap.mmap(file.fileno(), 4096) as shared:
        shared[:1] = b"1"
        restorer.restore(tree)
        shared[:1] = b"2"  # The page is dirty already: this store leaves no stamp.
        restorer.restore(tree)
        assert capture(root) == tree


def test_a_removed_file_is_made_anew(root: Path) -> None:
    restore(TREE, root)
    (root / "link").unlink()
    assert restore(TREE, root)
    assert capture(root) == TREE


def test_modes_and_mtimes_alone_are_given_back(root: Path) -> None:
    restore(TREE, root)
    (root / "v1/entry").chmod(0o700)
    os.utime(root / "v1/entry/frame_1", ns=(NS, NS + 4))
    os.utime(root / "link", ns=(NS, NS), follow_symlinks=False)
    os.utime(root, ns=(NS, NS))
    assert not restore(TREE, root)
    assert capture(root) == TREE


def test_every_kind_gives_way_to_every_other(root: Path) -> None:
    nodes = {
        "file": file_node(b"x", mtime_ns=NS),
        "folder": FOLDER,
        "link": Node(Kind.SYMLINK, 0o777, NS, target="nowhere"),
        "pipe": Node(Kind.FIFO, 0o644, NS),
        "socket": Node(Kind.SOCKET, 0o644, NS),
    }
    restorer = Restorer(root)
    for before in nodes.values():
        for after in nodes.values():
            for node in (before, after):
                restorer.restore(Tree({"": ROOT, "name": node}))
            assert capture(root).nodes["name"] == after


def test_a_symlink_with_another_text_is_made_anew(root: Path) -> None:
    restore(TREE, root)
    (root / "link").unlink()
    (root / "link").symlink_to("v1")
    restore(TREE, root)
    assert (root / "link").readlink() == Path("v1/entry")


def test_a_symlink_out_of_the_root_is_neither_followed_nor_emptied(root: Path) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"x")
    before = stamps(outside)
    restore(TREE, root)
    (root / "v1/entry").chmod(0o700)
    (root / "more").symlink_to(outside)
    (root / "v1/entry/frame_1").unlink()
    (root / "v1/entry/frame_1").symlink_to(outside / "precious")
    os.rename(root / "v1", root / "v2")
    (root / "v1").symlink_to(outside)
    restore(TREE, root)
    assert capture(root) == TREE
    assert stamps(outside) == before


def test_a_root_that_became_a_link_is_replaced(root: Path) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"x")
    root.symlink_to(outside)
    assert restore(TREE, f"{root}/")
    assert capture(root) == TREE
    assert os.listdir(outside) == ["precious"]


def test_a_file_that_is_linked_to_from_outside_is_not_written_through(root: Path) -> None:
    restore(TREE, root)
    outside = root.parent / "payload"
    outside.write_bytes(b"payload")
    outside.chmod(0o640)
    (root / "v1/entry").chmod(0o700)
    (root / "v1/entry/frame_1").unlink()
    os.link(outside, root / "v1/entry/frame_1")
    assert restore(TREE, root)
    assert capture(root) == TREE
    assert outside.read_bytes() == b"payload"
    assert stat.S_IMODE(outside.stat().st_mode) == 0o640


LINKED = Tree(
    {
        "": ROOT,
        "folder": FOLDER,
        "a": Node(Kind.FILE, 0o644, NS, 3, ((0, b"one"),), group=1),
        "b": Node(Kind.FILE, 0o644, NS, 3, ((0, b"one"),), group=1),
        "c": Node(Kind.FILE, 0o644, NS, 3, ((0, b"one"),), group=1),
        "d": file_node(b"one", mtime_ns=NS),
        "l": Node(Kind.SYMLINK, 0o777, NS, target="x", group=2),
        "m": Node(Kind.SYMLINK, 0o777, NS, target="x", group=2),
    }
)


def test_hard_links_are_one_inode_and_stay_so(root: Path) -> None:
    restorer = Restorer(root)
    restorer.restore(LINKED)
    assert capture(root) == LINKED
    before = stamps(root)
    assert not restorer.restore(LINKED)
    assert stamps(root) == before


@pytest.mark.parametrize(
    ("names", "source"), [("b", None), ("ab", None), ("a", "d"), ("d", "a"), ("abc", "d")]
)
def test_links_are_regrouped(root: Path, names: str, source: str | None) -> None:
    restore(LINKED, root)
    for name in names:
        (root / name).unlink()
        if source is None:
            (root / name).write_bytes(b"one")
        else:
            os.link(root / source, root / name)
    assert restore(LINKED, root)
    assert capture(root) == LINKED


def test_an_extra_link_goes_and_the_file_stays(root: Path) -> None:
    restore(LINKED, root)
    before = inodes(root)
    for name in "ad":
        os.link(root / name, root / "folder" / name)
    assert not restore(LINKED, root)
    assert inodes(root) == before


def test_a_change_through_one_link_is_undone_for_all(root: Path) -> None:
    restore(LINKED, root)
    (root / "b").write_bytes(b"two")
    assert not restore(LINKED, root)
    assert capture(root) == LINKED


def test_holes_come_back_as_holes(root: Path) -> None:
    root.mkdir()
    with (root / "sparse").open("wb") as file:
        file.truncate(1 << 32)
        os.pwrite(file.fileno(), b"data" * 1024, 1 << 20)
    tree = capture(root)
    with (root / "sparse").open("r+b") as file:
        os.pwrite(file.fileno(), b"x" * 8192, 4096)
    restore(tree, root)
    assert capture(root) == tree
    assert (root / "sparse").stat().st_blocks * 512 < 1 << 20


def test_locked_directories_and_files_are_opened_and_locked_again(root: Path) -> None:
    tree = Tree(
        {
            "": Node(Kind.DIRECTORY, 0, NS),
            "closed": Node(Kind.DIRECTORY, 0, NS + 1),
            "closed/inner": Node(Kind.DIRECTORY, 0o500, NS + 2),
            "closed/inner/f": file_node(b"x", mode=0, mtime_ns=NS + 3),
        }
    )
    for _ in range(2):
        restore(tree, root)
        found = {"": root.lstat()}
        assert stat.S_IMODE(found[""].st_mode) == 0
        for path in ("closed", "closed/inner", "closed/inner/f"):
            (root / path).parent.chmod(0o700)
            found[path] = (root / path).lstat()
        assert {path: (stat.S_IMODE(at.st_mode), at.st_mtime_ns) for path, at in found.items()} == {
            path: (node.mode, node.mtime_ns) for path, node in tree.nodes.items()
        }
        (root / "closed/inner/f").chmod(0o600)
        assert (root / "closed/inner/f").read_bytes() == b"x"


def test_garbage_of_every_sort_is_removed(root: Path) -> None:
    restore(TREE, root)
    kept = inodes(root)
    garbage = root / "v1/garbage"
    (garbage / "closed/inner/0/1").mkdir(parents=True)
    (garbage / "closed/inner/0/1/f").touch(mode=0)
    for number in range(5):
        (garbage / f"{number}/a/b").mkdir(parents=True)
    (garbage / "file").touch(mode=0)
    os.mkfifo(garbage / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        descriptor = os.open(garbage, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{descriptor}/socket")
        os.close(descriptor)
    (garbage / "loop").symlink_to(".")
    os.link(root / "v1/entry/frame_1", garbage / "closed/frame")
    for path in ("closed/inner/0/1", "closed/inner/0", "closed/inner", "closed", "."):
        (garbage / path).chmod(0)
    assert not restore(TREE, root)
    assert capture(root) == TREE
    assert inodes(root) == kept


def test_a_nest_deeper_than_a_path_may_be_is_removed(root: Path) -> None:
    restore(TREE, root)
    inner = os.open(root, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("nested", dir_fd=inner)
        deeper = os.open("nested", os.O_RDONLY, dir_fd=inner)
        os.close(inner)
        inner = deeper
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=inner))
    os.close(inner)
    restore(TREE, root)
    assert capture(root) == TREE


def test_everything_belongs_to_the_owner_of_the_root(root: Path) -> None:
    root.mkdir()
    owner = (65534, 65534) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    os.chown(root, *owner)
    (root / "v1").mkdir()
    restore(TREE, root)
    found = {(root / path).lstat() for path in TREE.nodes}
    assert {(at.st_uid, at.st_gid) for at in found} == {owner}
    assert capture(root) == TREE


def test_a_change_of_owner_does_not_cost_the_set_id_bits(root: Path) -> None:
    tree = Tree({"": ROOT, "f": file_node(b"x", mode=0o4755, mtime_ns=NS)})
    restore(tree, root)
    if os.geteuid() == 0:
        os.chown(root, 65534, 65534)
    restore(tree, root)
    assert capture(root) == tree


def test_the_umask_does_not_matter(root: Path) -> None:
    before = os.umask(0o777)
    try:
        restore(TREE, root)
    finally:
        os.umask(before)
    assert capture(root) == TREE


@pytest.fixture
def newest_first() -> Iterator[Path]:
    """Make a directory on a tmpfs, which lists the newest name first."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("/dev/shm is not there, or not writable")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as made:
        yield Path(made)


@pytest.mark.parametrize("place", ["root", "newest_first"])
def test_a_listing_is_in_the_order_that_the_tree_has(
    place: str, request: pytest.FixtureRequest
) -> None:
    root: Path = request.getfixturevalue(place)
    root.mkdir(exist_ok=True)
    for name in ("b", "a", "d", "c"):
        (root / name).touch()
    tree = capture(root)
    restorer = Restorer(root)
    for name in ("a", "d"):
        (root / name).unlink()
        restorer.restore(tree)
        assert os.listdir(root) == [path for path in tree.nodes if path]


def test_order_is_ours_or_is_left_alone(tmp_path: Path) -> None:
    names = ["a", ".aside", "c"]
    for name in names:
        (tmp_path / name).write_text(name)
    listed = os.listdir(tmp_path)
    assert reorder(str(tmp_path), listed)
    ours = reorder(str(tmp_path), listed[::-1])
    assert ours == (os.listdir(tmp_path) == listed[::-1])
    assert {name: (tmp_path / name).read_text() for name in names} == {each: each for each in names}


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ({"a": FOLDER}, "lacks its root"),
        ({"": file_node(b"")}, "the root is a file"),
        ({"": ROOT, "../a": file_node(b"")}, "no path below the root"),
        ({"": ROOT, "/a": file_node(b"")}, "no path below the root"),
        ({"": ROOT, "a/": file_node(b"")}, "no path below the root"),
        ({"": ROOT, ".": FOLDER}, "no path below the root"),
        ({"": ROOT, "a\0": FOLDER}, "no path below the root"),
        ({"": ROOT, "a/b": FOLDER}, "without one"),
        ({"": ROOT, "a/b": FOLDER, "a": FOLDER}, "before its directory"),
        ({"": ROOT, "a": file_node(b""), "a/b": FOLDER}, "in a file"),
        ({"": ROOT, "a": Node(Kind.DEVICE, 0, 0)}, "a device"),
        ({"": ROOT, "a": Node(Kind.FILE, 0o10000, 0)}, "mode 0o10000"),
        ({"": ROOT, "a": Node(Kind.SYMLINK, 0o777, 0)}, "target ''"),
        ({"": ROOT, "a": Node(Kind.FILE, 0, 0, target="x")}, "target 'x'"),
        ({"": ROOT, "a": Node(Kind.FIFO, 0, 0, 1)}, "with content"),
        ({"": ROOT, "a": Node(Kind.FILE, 0, 0, 1, ((0, b"ab"),))}, "data up to 2"),
        ({"": ROOT, "a": Node(Kind.FILE, 0, 0, 9, ((1, b"ab"), (2, b"c")))}, "overlaps"),
        ({"": ROOT, "a": Node(Kind.FILE, 0, 0, -1)}, "a size of -1"),
        ({"": ROOT, "a": Node(Kind.FILE, 0, 0, group=1)}, "the only name of group 1"),
        ({"": ROOT, "a": Node(Kind.FILE, 0, 0, group=2)}, "of group 2"),
        ({"": ROOT, "a": Node(Kind.DIRECTORY, 0, 0, group=1)}, "has hard links"),
        (
            {"": ROOT, "a": Node(Kind.FILE, 0, 0, group=1), "b": Node(Kind.FILE, 1, 0, group=1)},
            "differs from its hard link 'a'",
        ),
    ],
)
def test_what_is_no_tree_is_refused_before_anything_is_touched(
    root: Path, nodes: dict[str, Node], message: str
) -> None:
    restore(TREE, root)
    with pytest.raises(InvalidTreeError, match=message):
        restore(Tree(nodes), root)
    assert capture(root) == TREE
