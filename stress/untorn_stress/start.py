"""Where runs begin."""

from __future__ import annotations

from dataclasses import dataclass

from untorn_stress.tree import Tree


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """Where runs begin: a tree, its name, and when it was taken (seconds of the real clock)."""

    name: str
    tree: Tree
    taken_s: float

    def tree_at(self, now_s: float) -> Tree:
        """The tree as old as it would be by then, to a second."""
        return self.tree.shifted(int((now_s - self.taken_s) * 1e9))
