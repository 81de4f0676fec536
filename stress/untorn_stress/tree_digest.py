"""One text for all trees that stand for the same state.

Equal digests: the same kinds, permission bits, bytes, holes, symlinks' texts, hard links and
*ranks* of mtimes (equal mtimes share one) under the same canonical names. Absolute times, inode
numbers and the order of listings do not count. Bytes are compared as they are: a file that tells a
time or a process id makes states different that are not.

Rule 1: the numbers of drawn names are the digest's own: they depend on the tree alone, not on what
        the run saw before, nor on how the drawn texts happen to sort.
Rule 2: different states never share a digest. Equal ones may fail to, when drawn names are told
        apart only by where other drawn names point to them: their literal texts then break the tie.

Source: colour refinement (Weisfeiler and Leman, 1968), a few rounds of it, for Rule 1.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from untorn_conformance.probe import Kind

from untorn_stress.names import Names, Pieces
from untorn_stress.tree import Node, Tree

_ROUNDS: Final = 3

_Cut = tuple[Pieces, ...]  # a path, each component cut in what stays and what was drawn


def digest(tree: Tree, names: Names, *, volatile: Iterable[str] = (), mtimes: bool = True) -> str:
    """Return the digest of a tree, 64 hexadecimal digits.

    Of ``names`` only the stable words and the known process ids matter; it learns nothing.

    ``volatile`` are shell patterns for whole paths of regular files whose bytes and sizes are left
    out, though not their being there. States that differ in nothing else are then taken for one,
    and all but one go untried: who asks for it gives up the claim that every state was tried.
    ``mtimes=False`` leaves the ranks out: stamps within one tick of the clock are equal in one run
    and not in the next, so ranks are for states that are kept and not for comparing runs.
    """
    lines = _lines(tree, names, tuple(volatile), mtimes)
    numbers = _numbers(lines)
    groups: dict[int, int] = {}
    whole = hashlib.sha256()
    for path, line in sorted((_told(line.path, numbers), line) for line in lines):
        group = groups.setdefault(line.group, len(groups)) if line.group else -1
        whole.update(_bytes((path, line.traits, group, _told(line.target, numbers))))
    return whole.hexdigest()


class _Line(NamedTuple):
    """One name of the tree; ``traits`` is all that has no names in it."""

    path: _Cut
    traits: tuple[str, int, int, str]
    group: int
    target: _Cut


def _lines(tree: Tree, names: Names, volatile: tuple[str, ...], mtimes: bool) -> list[_Line]:
    stamps = sorted({node.mtime_ns for node in tree.nodes.values()}) if mtimes else []
    rank = {stamp: place for place, stamp in enumerate(stamps)}
    lines = []
    for path, node in tree.nodes.items():
        left_out = any(fnmatch.fnmatchcase(path, pattern) for pattern in volatile)
        content = "" if left_out else _content(node)
        traits = (node.kind.value, node.mode, rank.get(node.mtime_ns, -1), content)
        target = _cut(node.target, names) if node.target else ()
        lines.append(_Line(_cut(path, names), traits, node.group, target))
    return lines


def _content(node: Node) -> str:
    if node.kind is not Kind.FILE:
        return ""
    if len(node.runs) == 1 and len(node.runs[0][1]) == node.size:
        return hashlib.sha256(node.runs[0][1]).hexdigest()
    runs = [(offset, hashlib.sha256(data).hexdigest()) for offset, data in node.runs]
    return f"{node.size} {runs}"


def _cut(path: str, names: Names) -> _Cut:
    return tuple(names.pieces(component) for component in path.split("/"))


def _drawn(cut: _Cut) -> Iterator[tuple[int, int, str]]:
    """Yield the drawn texts with their places: component, and piece of it."""
    for depth, pieces in enumerate(cut):
        for place in range(1, len(pieces), 2):
            yield depth, place, pieces[place]


def _numbers(lines: list[_Line]) -> dict[str, int]:
    """Number the drawn texts by what they name, and by themselves only where that is equal."""
    speaking = [line for line in lines if any(_drawn(line.path)) or any(_drawn(line.target))]
    colours = {text: "" for line in speaking for *_, text in _all_drawn(line)}
    if len(colours) > 1:
        members = _members(lines)
        for _ in range(_ROUNDS):
            colours = _refined(speaking, colours, members)
    ordered = sorted(colours, key=lambda text: (colours[text], text))
    return {text: number for number, text in enumerate(ordered, start=1)}


def _refined(
    lines: list[_Line], colours: Mapping[str, str], members: Mapping[int, list[_Cut]]
) -> dict[str, str]:
    """Colour each drawn text anew by all that it takes part in, and the colours around it."""
    seen: defaultdict[str, list[str]] = defaultdict(list)
    for line in lines:
        linked = sorted(_told(path, colours) for path in members.get(line.group, ()))
        around = _told(line.path, colours), line.traits, linked, _told(line.target, colours)
        for which, depth, place, text in _all_drawn(line):
            seen[text].append(repr((which, depth, place, around)))
    return {
        text: hashlib.sha256(_bytes((colours[text], sorted(parts)))).hexdigest()
        for text, parts in seen.items()
    }


def _members(lines: list[_Line]) -> dict[int, list[_Cut]]:
    members: defaultdict[int, list[_Cut]] = defaultdict(list)
    for line in lines:
        if line.group:
            members[line.group].append(line.path)
    return members


def _all_drawn(line: _Line) -> Iterator[tuple[str, int, int, str]]:
    for which, cut in (("path", line.path), ("target", line.target)):
        for depth, place, text in _drawn(cut):
            yield which, depth, place, text


def _told(cut: _Cut, marks: Mapping[str, object]) -> str:
    """Spell a path with each drawn text replaced by its mark; braces of its own are doubled."""
    return "/".join(
        "".join(
            f"{{{marks[piece]}}}" if place % 2 else piece.replace("{", "{{")
            for place, piece in enumerate(pieces)
        )
        for pieces in cut
    )


def _bytes(value: object) -> bytes:
    return repr(value).encode("utf-8", "surrogatepass")
