"""What two trees differ in, as objects of ``gate.world``, and what a run would leave of the other.

The claim. A search from one tree has made every schedule, or one equivalent to it. From another
tree, whose differences nobody touched there, each schedule goes the same way: the same calls, with
the same results, and the same answers. At its end there is what it left of the first tree, but for
the differences: these are as they were in the other.

The proof goes step by step. Before a step the workers have been told the same, and both trees hold
the same but for the differences; so the same call is pending. Its path leads through entries that
were looked up, and to objects that were touched, from the first tree: none of them is a difference,
so they hold the same, and the call finds and does the same. Hence the same is on offer after it,
which conflicts with the same, and the search asks for the same. The ground is that of all other
reductions: a footprint has whatever decides what a call comes to.

Rule 1: touched is also what somebody stood before and did not do, and what opening the root
        touches. Of an opaque step it is not known: then no tree is alike.
Rule 2: what is below a directory moves with it and is not touched by that. So no directory above a
        difference may have been written: renamed, removed or dated.
Rule 3: an inode of several names is called by any of them: trees with hard links are not compared.
Rule 4: only the runs are the same. Whoever looks at the whole tree afterwards touches it all, and
        must look at what ``spliced`` gives.

What a tree does not say (``tree``) is no difference: which inode numbers and how much space are
free is left to chance whenever one and the same tree is restored. Nor are ages of nearly the same:
so much passes between two stops of the run that they were taken from, and crash states that differ
in times alone count as one.

Source: the claim is Mazurkiewicz's, as in ``foresight``: a step is determined by its causes. Here
what an object holds at the beginning is one of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from untorn_stress.schedulers.protocol import Footprint
from untorn_stress.tree import Node, Tree

SAME_AGE_NS: Final = 10_000_000_000
"""Ages that differ by less are the same: a harvest takes about a second, caches think in minutes.
"""

_OF_A_NODE: Final = "iotpdl"


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Where two trees differ: ``nodes`` are paths, ``listings`` those of directories."""

    nodes: frozenset[str]
    listings: frozenset[str]
    objects: frozenset[str]
    is_comparable: bool = True

    def is_untouched(self, touched: Footprint) -> bool:
        """Whether this touches none of it, nor moves it along with a directory above it."""
        above = {f"i:{folder}" for path in self.nodes for folder in _above(path)}
        for path in self.listings:
            above.update(f"i:{_named(folder)}" for folder in (path, *_above(path)))
        return (
            self.is_comparable
            and not touched.opaque
            and self.objects.isdisjoint(touched.reads)
            and self.objects.isdisjoint(touched.writes)
            and above.isdisjoint(touched.writes)
        )


def difference(one: Tree, other: Tree, *, later_ns: int) -> Difference:
    """What the trees differ in; ``other`` was taken so much later."""
    here, there = _listings(one), _listings(other)
    listings = {path for path in here.keys() | there.keys() if here.get(path) != there.get(path)}
    objects = {f"{kind}:{_named(path)}" for path in listings for kind in "ot"}
    nodes = set()
    for path in one.nodes.keys() | other.nodes.keys():
        found = _differing(path, one.nodes.get(path), other.nodes.get(path), later_ns)
        if found:
            nodes.add(path)
            objects |= found
    has_links = any(node.group for tree in (one, other) for node in tree.nodes.values())
    return Difference(
        nodes=frozenset(nodes),
        listings=frozenset(listings),
        objects=frozenset(objects),
        is_comparable=not has_links,
    )


def spliced(left: Tree, other: Tree, differs: Difference) -> Tree:
    """What a run leaves of ``other`` that left the first tree so; both of the same time."""
    here, there = _listings(left), _listings(other)
    nodes: dict[str, Node] = {}
    pending = [""]
    while pending:
        path = pending.pop()
        is_listed_so = path in differs.listings
        is_others = is_listed_so or path in differs.nodes
        nodes[path] = (other if is_others else left).nodes[path]
        pending += reversed((there if is_listed_so else here).get(path, ()))
    return Tree(nodes)


def _differing(path: str, one: Node | None, other: Node | None, later_ns: int) -> set[str]:
    """The objects in which what the path stands for differs."""
    name = _named(path)
    if one is None or other is None or one.kind is not other.kind:
        folder, _, entry = path.rpartition("/")
        return {f"e:{_named(folder)}/{entry}", *(f"{kind}:{name}" for kind in _OF_A_NODE)}
    found = set()
    if one.mode != other.mode:
        found |= {f"i:{name}", f"p:{name}"}
    if (one.size, one.runs) != (other.size, other.runs):
        found |= {f"i:{name}", f"d:{name}"}
    if one.target != other.target:
        folder, _, entry = path.rpartition("/")
        found |= {f"i:{name}", f"e:{_named(folder)}/{entry}"}
    if abs(other.mtime_ns - one.mtime_ns - later_ns) >= SAME_AGE_NS:
        found |= {f"i:{name}", f"t:{name}"}
    return found


def _named(path: str) -> str:
    """What an inode of the tree is called in a run from it."""
    return path or "."


def _above(path: str) -> list[str]:
    """The directories that a path leads through, without the root."""
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _listings(tree: Tree) -> Mapping[str, list[str]]:
    """What is in each directory that is not empty, in order."""
    listings: dict[str, list[str]] = defaultdict(list)
    for path in tree.nodes:
        if path:
            listings[path.rpartition("/")[0]].append(path)
    return listings
