"""What makes a tree one that can be restored, checked before anything is written to disk.

Rule 1: no name leads out of the root: no empty name, no ``.`` or ``..``, no NUL.
Rule 2: what holds a name is a directory, and comes before it.
Rule 3: hard links are the same node at two names at least; directories have none.
Rule 4: the runs of a file ascend, do not touch the same byte, and end within its size.
Rule 5: names, sizes and times are such that the system calls take them.
"""

from __future__ import annotations

import os
from typing import Final

from untorn_conformance.probe import Kind

from untorn_stress.tree import PERMISSION_BITS, Node, Tree, TreeError

KINDS: Final = frozenset(Kind) - {Kind.DEVICE}

_MTIME_NS_MAX: Final = 2**80
_SIZE_MAX: Final = 2**63
"""Beyond these the system calls take no such number; file systems hold less."""


class InvalidTreeError(TreeError):
    """A value that is no tree: it could not be restored, or would not be the same afterwards."""


def check(tree: Tree) -> None:
    """Raise InvalidTreeError, which names the path, unless every rule holds."""
    if "" not in tree.nodes:
        raise InvalidTreeError("the tree lacks its root, the path ''")
    seen: set[str] = set()
    for path, node in tree.nodes.items():
        _check_place(path, node, tree, seen)
        _check_node(path, node)
        seen.add(path)
    _check_groups(tree)


def _check_place(path: str, node: Node, tree: Tree, seen: set[str]) -> None:
    if not path:
        if node.kind is not Kind.DIRECTORY:
            raise InvalidTreeError(f"the root is a {node.kind}, not a directory")
        return
    if "\0" in path or any(name in ("", ".", "..") for name in path.split("/")):
        raise InvalidTreeError(f"{path!r} is no path below the root")
    if not (_is_name(path) and _is_name(node.target)):
        raise InvalidTreeError(f"{path!a} has a name or a target that no file system can hold")
    above = path.rpartition("/")[0]
    if above in tree.nodes and tree.nodes[above].kind is not Kind.DIRECTORY:
        raise InvalidTreeError(f"{path!r} is in a {tree.nodes[above].kind}, not in a directory")
    if above and above not in seen:
        raise InvalidTreeError(f"{path!r} comes before its directory, or without one")


def _check_node(path: str, node: Node) -> None:
    if node.kind not in KINDS:
        raise InvalidTreeError(f"{path!r} is a {node.kind}, which a tree cannot hold")
    if node.mode & ~PERMISSION_BITS:
        raise InvalidTreeError(f"{path!r} has mode {node.mode:#o}, which is no permission")
    if bool(node.target) != (node.kind is Kind.SYMLINK) or "\0" in node.target:
        raise InvalidTreeError(f"{path!r} is a {node.kind} with the target {node.target!r}")
    if node.kind is not Kind.FILE and (node.size or node.runs):
        raise InvalidTreeError(f"{path!r} is a {node.kind} with content")
    end = 0
    for offset, data in node.runs:
        if offset < end or not data:
            raise InvalidTreeError(f"{path!r} has a run at {offset} that is empty or overlaps")
        end = offset + len(data)
    if end > node.size or node.size < 0:
        raise InvalidTreeError(f"{path!r} has data up to {end} and a size of {node.size}")
    if abs(node.mtime_ns) >= _MTIME_NS_MAX or node.size >= _SIZE_MAX:
        raise InvalidTreeError(f"{path!r} has an mtime or a size that no file can have")


def _is_name(text: str) -> bool:
    """Whether it is a text that os.fsdecode gives: other surrogates stand for no byte."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


def _check_groups(tree: Tree) -> None:
    first: dict[int, str] = {}
    alone: set[int] = set()
    for path, node in sorted(tree.nodes.items()):
        if not node.group:
            continue
        if node.kind is Kind.DIRECTORY:
            raise InvalidTreeError(f"{path!r} is a directory and has hard links")
        if node.group not in first:
            if node.group != len(first) + 1:
                raise InvalidTreeError(f"{path!r} is of group {node.group}, after {len(first)}")
            first[node.group] = path
            alone.add(node.group)
        elif tree.nodes[first[node.group]] != node:
            raise InvalidTreeError(f"{path!r} differs from its hard link {first[node.group]!r}")
        else:
            alone.discard(node.group)
    for group in sorted(alone):
        raise InvalidTreeError(f"{first[group]!r} is the only name of group {group}")
