"""How much each checker judged: the things that its rules were applied to, counted as they are.

Rule 1: whoever applies a rule says so here, in the same breath; what is excused before it is looked
        at is not judged.
Rule 2: one thing counts once for a checker, however many of its rules look at it.

What counts is, by checker:

    H1   handles that were given, and reads that gave bytes
    H2   versions that were seen, what writers read of their own, handles that nobody read
    H3   versions that came after another of their key; misses as absent of what had been there
    H4   reads; versions that came after one that a lease had held, and misses of such a one
    H5   misses of what had been there
    H6   versions that came after another of their key
    H7   collects
    H8   answers of stats
    H9   the audit
    H10  operations that were answered, or that somebody alive still owes; deaths that nobody asked
         for; keys that the audit tried
    H11  collects
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from untorn_conformance.history import Op


class Judged:
    """Counts, by checker, while a round is judged."""

    def __init__(self) -> None:
        self._things: Counter[str] = Counter()
        self._operations: dict[str, set[int]] = {}

    def count(self, checker: str, things: int = 1) -> None:
        """A checker looked at so many things that no other of its rules looks at."""
        self._things[checker] += things

    def note(self, checker: str, op: Op) -> None:
        """A rule of a checker was applied to an operation that others of its rules look at too."""
        self._operations.setdefault(checker, set()).add(op.id)

    def amounts(self, checkers: Iterable[str]) -> Mapping[str, int]:
        """How much each of these has judged by now."""
        return {
            checker: self._things[checker] + len(self._operations.get(checker, ()))
            for checker in checkers
        }
