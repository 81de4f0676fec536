from __future__ import annotations

import random
from dataclasses import replace

import pytest
from untorn_conformance.probe import Kind
from untorn_stress.names import Names
from untorn_stress.tree import Node, Tree, file_node
from untorn_stress.tree_digest import digest

FOLDER = Node(Kind.DIRECTORY, 0o755, 5)
ONE, TWO, THREE = "3fa4b1c2", "77fa4b1c", "0a1b2c3d"


def told(nodes: dict[str, Node], *, mtimes: bool = True) -> str:
    return digest(Tree({"": FOLDER, **nodes}), Names(), mtimes=mtimes)


def test_it_is_the_same_whatever_the_order_of_listings() -> None:
    a, b = file_node(b"a"), file_node(b"b")
    assert told({"a": a, "b": b}) == told({"b": b, "a": a})


@pytest.mark.parametrize(
    "other",
    [
        {"b": file_node(b"x")},
        {"a": file_node(b"y")},
        {"a": file_node(b"x", mode=0o600)},
        {"a": Node(Kind.FIFO, 0o644, 0)},
        {"a": file_node(b"x"), "b": file_node(b"x")},
        {"a": Node(Kind.FILE, 0o644, 0, 1)},
        {},
    ],
)
def test_it_tells_names_kinds_modes_and_bytes_apart(other: dict[str, Node]) -> None:
    assert told({"a": file_node(b"x")}) != told(other)


def test_it_tells_sparse_files_apart_by_their_sizes() -> None:
    sparse = Node(Kind.FILE, 0o644, 0, 1 << 30, ((0, b"x" * 4096),))
    assert told({"a": sparse}) != told({"a": replace(sparse, size=1 << 31)})


def test_it_tells_symlinks_apart_by_their_text() -> None:
    link = Node(Kind.SYMLINK, 0o777, 0, target="a")
    assert told({"l": link}) != told({"l": replace(link, target="b")})


def test_it_tells_hard_links_from_copies() -> None:
    x = file_node(b"x")
    first, second = replace(x, group=1), replace(x, group=2)
    alone = {"a": x, "b": x, "c": x, "d": x}
    pairs = {"a": first, "b": first, "c": second, "d": second}
    crossed = {"a": first, "b": second, "c": first, "d": second}
    assert len({told(alone), told(pairs), told(crossed)}) == 3


def test_only_the_rank_of_mtimes_counts() -> None:
    def at(a: int, b: int) -> str:
        return told({"a": file_node(b"", mtime_ns=a), "b": file_node(b"", mtime_ns=b)})

    assert at(10, 20) == at(11, 999)
    assert len({at(10, 20), at(20, 10), at(10, 10), at(5, 10)}) == 4


def test_mtimes_can_be_left_out() -> None:
    def at(mtime_ns: int) -> str:
        return told({"a": file_node(b"", mtime_ns=mtime_ns)}, mtimes=False)

    assert at(1) == at(9)


def test_drawn_texts_do_not_count() -> None:
    assert told({f"a.{ONE}": FOLDER}) == told({f"a.{TWO}": FOLDER})


def test_the_run_so_far_does_not_count() -> None:
    names = Names()
    names.canonical(TWO)
    tree = Tree({"": FOLDER, ONE: FOLDER})
    assert digest(tree, names) == digest(tree, Names())


def test_stable_words_and_known_process_ids_count() -> None:
    def of(name: str, *, pid: int) -> str:
        names = Names([ONE, TWO])
        names.pid("A", pid)
        return digest(Tree({"": FOLDER, name: FOLDER}), names)

    assert of(ONE, pid=1) != of(TWO, pid=1)
    assert of("lock.4711", pid=4711) == of("lock.4712", pid=4712)


def test_drawn_names_are_numbered_by_what_they_name_and_not_by_their_texts() -> None:
    def state(full: str, empty: str) -> str:
        return told(
            {
                "s": FOLDER,
                f"s/{empty}": FOLDER,
                f"s/{full}": FOLDER,
                f"s/{full}/frame": file_node(b"x"),
                "last": Node(Kind.SYMLINK, 0o777, 5, target=f"s/{full}"),
            }
        )

    assert state(ONE, TWO) == state(TWO, ONE)


def test_the_same_drawn_text_in_two_places_is_told_from_two_texts() -> None:
    def state(first: str, second: str) -> str:
        return told({f"s.{first}": FOLDER, f"t.{second}": FOLDER})

    assert state(ONE, ONE) != state(ONE, TWO)
    assert state(ONE, TWO) == state(TWO, ONE)


def test_what_points_where_is_told_apart() -> None:
    def state(locked: str, linked: str) -> str:
        return told(
            {
                f"s.{ONE}": FOLDER,
                f"s.{TWO}": FOLDER,
                f"lock.{locked}": FOLDER,
                "l": Node(Kind.SYMLINK, 0o777, 5, target=f"s.{linked}"),
            }
        )

    assert state(ONE, ONE) == state(TWO, TWO)
    assert state(ONE, TWO) == state(TWO, ONE)
    assert state(ONE, ONE) != state(ONE, TWO)


def test_names_that_only_their_neighbours_tell_apart_are_numbered_alike_under_any_texts() -> None:
    """A chain of links: each drawn name looks like the next but for how far the end is."""

    def chain(texts: list[str]) -> str:
        pairs = zip(texts, [*texts[1:], "end"], strict=True)
        return told({a: Node(Kind.SYMLINK, 0o777, 5, target=b) for a, b in pairs})

    texts = [f"{number:06x}aa1" for number in range(4)]
    shuffled = [random.Random(seed).sample(texts, 4) for seed in range(10)]
    assert len({chain(each) for each in shuffled}) == 1


def test_names_that_only_their_hard_links_tell_apart_are_numbered_alike() -> None:
    def state(left: str, right: str) -> str:
        nodes = {"x": 1, f"s.{left}": 1, "y": 2, f"s.{right}": 2}
        return told({path: replace(file_node(b""), group=group) for path, group in nodes.items()})

    assert state(ONE, TWO) == state(TWO, ONE)


def test_volatile_files_count_by_being_there() -> None:
    def of(nodes: dict[str, Node]) -> str:
        return digest(Tree({"": FOLDER, **nodes}), Names(), volatile=["*.log"])

    assert of({"a.log": file_node(b"1")}) == of({"a.log": file_node(b"22")})
    assert of({"a.log": file_node(b"1")}) != of({})
    assert of({"a.txt": file_node(b"1")}) != of({"a.txt": file_node(b"2")})
