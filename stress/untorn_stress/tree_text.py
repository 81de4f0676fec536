"""Trees as text: plain JSON for files that are kept, lines for people."""

from __future__ import annotations

import base64
import binascii
import stat
from collections.abc import Mapping
from typing import Any, Final

from untorn_conformance.probe import Kind

from untorn_stress.tree import Node, Runs, Tree
from untorn_stress.tree_check import InvalidTreeError, check

_FIELDS: Final[Mapping[str, type]] = {
    "path": str,
    "kind": str,
    "mode": str,
    "mtime_ns": int,
    "size": int,
    "runs": list,
    "target": str,
    "group": int,
}
_REQUIRED: Final = frozenset({"path", "kind", "mode", "mtime_ns"})
_LETTERS: Final = {
    Kind.FILE: "-",
    Kind.DIRECTORY: "d",
    Kind.SYMLINK: "l",
    Kind.FIFO: "p",
    Kind.SOCKET: "s",
}
_SHOWN: Final = 60  # characters of a wrong value that an error shows


def to_json(tree: Tree) -> list[dict[str, object]]:
    """Return the tree as plain JSON: one object a name, in the tree's order, bytes as base64.

    Fields that say nothing are left out. ``mode`` is octal text. Names that are not UTF-8 hold lone
    surrogates (os.fsdecode), which JSON can only carry escaped, as json.dumps does by itself.
    """
    return [_node_to_json(path, node) for path, node in tree.nodes.items()]


def from_json(value: object) -> Tree:
    """Return the tree that ``to_json`` wrote.

    Raises InvalidTreeError, which names the place, for any other value, also for a tree that could
    not be restored, or that would lead out of its root.
    """
    if not isinstance(value, list):
        raise InvalidTreeError(f"a tree is a list of names, not {_short(value)}")
    nodes: dict[str, Node] = {}
    for place, item in enumerate(value):
        path, node = _node_from_json(item, f"name {place} of the tree")
        if path in nodes:
            raise InvalidTreeError(f"{path!r} is in the tree twice")
        nodes[path] = node
    tree = Tree(nodes)
    check(tree)
    return tree


def describe(tree: Tree) -> list[str]:
    """Return one line a name, sorted: permissions, age rank, size, path, and what there is to it.

    ``t0`` is the oldest mtime; equal mtimes have equal ranks. ``=1`` names a group of hard links.
    """
    stamps = sorted({node.mtime_ns for node in tree.nodes.values()})
    rank = {stamp: place for place, stamp in enumerate(stamps)}
    return [
        _describe_node(path, node, rank[node.mtime_ns]) for path, node in sorted(tree.nodes.items())
    ]


def _describe_node(path: str, node: Node, rank: int) -> str:
    name = _visible(path or ".") + ("/" if node.kind is Kind.DIRECTORY else "")
    size = f"{node.size} B" if node.kind is Kind.FILE else ""
    letters = _LETTERS[node.kind] + stat.filemode(node.mode)[1:]
    line = f"{letters} t{rank:<3} {size:>10}  {name}"
    if node.target:
        line += f" -> {_visible(node.target)}"
    if node.group:
        line += f"  ={node.group}"
    held = sum(len(data) for _, data in node.runs)
    if held < node.size:
        line += f"  ({held} B of it data)"
    return line


def _visible(text: str) -> str:
    return text if text.isprintable() else ascii(text)


def _node_to_json(path: str, node: Node) -> dict[str, object]:
    told: dict[str, object] = {
        "path": path,
        "kind": node.kind.value,
        "mode": f"{node.mode:04o}",
        "mtime_ns": node.mtime_ns,
    }
    if node.kind is Kind.FILE:
        told["size"] = node.size
        told["runs"] = [
            [offset, base64.b64encode(data).decode("ascii")] for offset, data in node.runs
        ]
    if node.target:
        told["target"] = node.target
    if node.group:
        told["group"] = node.group
    return told


def _node_from_json(item: object, where: str) -> tuple[str, Node]:
    fields = _fields(item, where)
    where = f"{fields['path']!r}"
    try:
        kind = Kind(fields["kind"])
    except ValueError:
        raise InvalidTreeError(f"{where} is of no known kind: {_short(fields['kind'])}") from None
    return fields["path"], Node(
        kind,
        _mode(fields["mode"], where),
        fields["mtime_ns"],
        fields.get("size", 0),
        _runs(fields.get("runs", []), where),
        fields.get("target", ""),
        fields.get("group", 0),
    )


def _fields(item: object, where: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise InvalidTreeError(f"{where} is {_short(item)}, not an object")
    if missing := _REQUIRED - item.keys():
        raise InvalidTreeError(f"{where} lacks {', '.join(sorted(missing))}")
    for name, value in item.items():
        wanted = _FIELDS.get(name)
        if wanted is None:
            raise InvalidTreeError(f"{where} has an unknown field {_short(name)}")
        if type(value) is not wanted:  # A bool is an int, and no size.
            raise InvalidTreeError(f"{where}: {name} is {_short(value)}, not {wanted.__name__}")
    return item


def _mode(text: str, where: str) -> int:
    try:
        return int(text, 8)
    except ValueError:
        raise InvalidTreeError(f"{where} has no octal mode: {_short(text)}") from None


def _runs(value: list[Any], where: str) -> Runs:
    runs = []
    for run in value:
        match run:
            case [int(offset), str(text)] if not isinstance(offset, bool):
                runs.append((offset, _unpacked(text, where)))
            case _:
                raise InvalidTreeError(f"{where} has a run {_short(run)}, not offset and base64")
    return tuple(runs)


def _unpacked(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidTreeError(f"{where} has data that is not base64: {_short(text)}") from None


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
