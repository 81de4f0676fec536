"""Trees drawn from a seed: what is restored and taken again is the same, whatever was there."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from untorn_conformance.probe import Kind
from untorn_stress.names import Names
from untorn_stress.tree import Node, Tree, capture, file_node
from untorn_stress.tree_digest import digest
from untorn_stress.tree_restore import Restorer, restore
from untorn_stress.tree_text import describe, from_json, to_json

SEEDS = 300
NS = 1_500_000_000_000_000_000


def draw_tree(draw: random.Random) -> Tree:
    """Draw a tree of up to 25 names, all of whose modes let us look again."""
    nodes = {"": Node(Kind.DIRECTORY, draw.choice([0o700, 0o755]), draw_mtime(draw))}
    for _ in range(draw.randrange(25)):
        folder = draw.choice([path for path, node in nodes.items() if node.kind is Kind.DIRECTORY])
        name = draw.choice("abcdefgh") + draw.choice(["", ".png", "\N{SNOWMAN}", "\udcff", " "])
        nodes.setdefault(f"{folder}/{name}" if folder else name, draw_node(draw))
    return Tree(linked(draw, nodes))


def draw_mtime(draw: random.Random) -> int:
    return NS + draw.choice([0, 1, 999, draw.randrange(10**12)])


def draw_node(draw: random.Random) -> Node:
    mtime_ns = draw_mtime(draw)
    match draw.randrange(8):
        case 0 | 1:
            return Node(Kind.DIRECTORY, draw.choice([0o700, 0o500, 0o2755, 0o1777]), mtime_ns)
        case 2:
            return Node(Kind.SYMLINK, 0o777, mtime_ns, target=draw.choice(["a", "../..", "/etc"]))
        case 3:
            return Node(Kind.FIFO, 0o640, mtime_ns)
        case 4:
            run = (65536 * draw.randrange(1, 4), draw.randbytes(65536))
            return Node(Kind.FILE, 0o600, mtime_ns, 65536 * 8, (run,))
        case _:
            content = draw.choice([b"", b"x", b"\0" * 5, draw.randbytes(draw.randrange(1, 9000))])
            return file_node(content, mode=draw.choice([0o600, 0o444, 0o4755]), mtime_ns=mtime_ns)


def linked(draw: random.Random, nodes: dict[str, Node]) -> dict[str, Node]:
    """Make hard links of some names, and number their groups as a capture does."""
    free = [path for path, node in nodes.items() if node.kind is not Kind.DIRECTORY]
    draw.shuffle(free)
    groups = []
    while len(free) > 3 and draw.random() < 0.6:
        groups.append(sorted(free.pop() for _ in range(draw.randint(2, 3))))
    for number, paths in enumerate(sorted(groups), start=1):
        for path in paths:
            nodes[path] = replace(nodes[paths[0]], group=number)
    return nodes


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("random") / "root"


@pytest.fixture(scope="module")
def restorer(root: Path) -> Restorer:
    return Restorer(root)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_tree_is_the_same_after_it_was_restored_over_another(
    seed: int, root: Path, restorer: Restorer
) -> None:
    tree, garbage = draw_tree(random.Random(seed)), draw_tree(random.Random(seed + SEEDS))
    restorer.restore(garbage)
    restorer.restore(tree)
    assert capture(root) == tree
    before = {path: (root / path).lstat() for path in tree.nodes}
    assert not restorer.restore(tree)
    after = {path: (root / path).lstat() for path in tree.nodes}
    assert {path: (at.st_ino, at.st_ctime_ns) for path, at in before.items()} == {
        path: (at.st_ino, at.st_ctime_ns) for path, at in after.items()
    }


def test_trees_survive_json_and_have_digests_and_descriptions() -> None:
    names = Names()
    for seed in range(SEEDS):
        tree = draw_tree(random.Random(seed))
        again = from_json(json.loads(json.dumps(to_json(tree))))
        assert again == tree, f"seed {seed}"
        assert list(again.nodes) == list(tree.nodes)
        assert digest(again, names) == digest(tree, names)
        assert len(describe(tree)) == len(tree.nodes)


def test_different_trees_have_different_digests() -> None:
    trees = [draw_tree(random.Random(seed)) for seed in range(SEEDS)]
    names = Names()
    alike = [(draw_shape(tree), digest(tree, names)) for tree in trees]
    assert len(set(alike)) == len({shape for shape, _ in alike}) == len({told for _, told in alike})


def draw_shape(tree: Tree) -> str:
    """Spell out what a digest stands for, of trees without drawn names."""
    ranks = sorted({node.mtime_ns for node in tree.nodes.values()})
    return repr(
        sorted(
            (path, replace(node, mtime_ns=ranks.index(node.mtime_ns)))
            for path, node in tree.nodes.items()
        )
    )


def test_a_restored_tree_needs_no_memory_of_the_last(tmp_path: Path) -> None:
    for seed in range(20):
        tree = draw_tree(random.Random(seed))
        restore(tree, tmp_path / "root")
        assert capture(tmp_path / "root") == tree
