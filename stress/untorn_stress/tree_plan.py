"""A tree spelled out for one root: what to look at, in which order, under which full path."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import Final, NamedTuple

from untorn_conformance.probe import Kind

from untorn_stress.tree import Node, Tree
from untorn_stress.tree_check import check

FORMATS: Final = {
    Kind.FILE: stat.S_IFREG,
    Kind.DIRECTORY: stat.S_IFDIR,
    Kind.SYMLINK: stat.S_IFLNK,
    Kind.FIFO: stat.S_IFIFO,
    Kind.SOCKET: stat.S_IFSOCK,
}
"""The format bits of st_mode by kind (inode(7))."""


class Folder(NamedTuple):
    """A directory, and its names in the tree's order.

    ``children`` are by name: the full path, and the format bits that must be found there.
    """

    full: str
    node: Node
    names: list[str]
    children: dict[str, tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a tree asks of a root. Folders come downwards, the root first.

    ``alone`` are the names without hard links that are no directories, ``groups`` those with.
    """

    tree: Tree
    folders: tuple[Folder, ...]
    alone: tuple[tuple[str, Node], ...]
    groups: tuple[tuple[tuple[str, ...], Node], ...]


def plan(tree: Tree, root: str) -> Plan:
    """Check the tree and spell it out below ``root``; raises InvalidTreeError."""
    check(tree)
    folders: dict[str, Folder] = {"": Folder(root, tree.nodes[""], [], {})}
    alone = []
    groups: dict[int, list[str]] = {}
    for path, node in tree.nodes.items():
        if not path:
            continue
        above, _, name = path.rpartition("/")
        full = f"{root}/{path}"
        folders[above].names.append(name)
        folders[above].children[name] = (full, FORMATS[node.kind])
        if node.kind is Kind.DIRECTORY:
            folders[path] = Folder(full, node, [], {})
        elif node.group:
            groups.setdefault(node.group, []).append(path)
        else:
            alone.append((full, node))
    linked = tuple(
        (tuple(f"{root}/{path}" for path in paths), tree.nodes[paths[0]])
        for paths in groups.values()
    )
    return Plan(tree, tuple(folders.values()), tuple(alone), linked)
