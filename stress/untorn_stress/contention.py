"""Which steps of a run another worker could have disturbed: the ones to look at first.

This is for the reader's eye alone. What commutes is decided by footprints, which know inodes; here
are only the names that a step shows, so a mark is a hint and its absence is no proof.

Rule 1: a step is contended when another worker touches the same path in the run, and this step or
        that worker changes it.
Rule 2: creating, renaming or removing a name changes the listing of its directory.
Rule 3: renaming a directory touches all that is below either of its names.
Rule 4: a call that failed changed nothing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from untorn_stress.run import Run, Step

_ARROW: Final = " -> "
_TWO_PATHS: Final = re.compile(r"(sym)?link(at)?|rename(at2?)?")
_LOCK_WORDS: Final = frozenset({"SH", "EX", "UN"})
_ERRNO: Final = re.compile(r"E[A-Z0-9]+")
_OPENS: Final = frozenset({"open", "openat", "openat2"})
_CREATING: Final = re.compile(r"CREAT|TRUNC|TMPFILE")
_LOOKS: Final = re.compile(
    r"l?stat|fstat|newfstatat|statx|f?access(at2?)?|readlink(at)?|getdents(64)?|f?statfs|close"
    r"|p?readv?(64)?|f?l?getxattr|f?l?listxattr|fsync|fdatasync|syncfs|dup[23]?"
)
_LISTS: Final = re.compile(r"getdents(64)?|rmdir")
_NAMES: Final = re.compile(
    r"creat|mkdir(at)?|rmdir|mknod(at)?|unlink(at)?|(sym)?link(at)?|rename(at2?)?"
)


def worker_of(actor: str) -> str:
    """Return the worker that an actor belongs to: ``A`` of ``A`` and of ``At1``."""
    return re.sub(r"t[0-9]+$", "", actor)


def failed(step: Step) -> bool:
    """Tell whether the step is known to have ended in an error."""
    return _ERRNO.fullmatch(step.result) is not None


def paths_of(step: Step) -> tuple[str, ...]:
    """Name the paths that a step shows: before its flags, and after the word of a lock.

    Of a call that takes two, both: ``a -> b`` or ``a b``.
    """
    sides = [side.split() for side in step.detail.split(_ARROW)]
    found = [words[1:] if words[:1] and words[0] in _LOCK_WORDS else words for words in sides]
    if len(found) == 1 and _TWO_PATHS.fullmatch(step.call):
        return tuple(found[0][:2])
    return tuple(words[0] for words in found if words)


def contended(run: Run) -> frozenset[int]:
    """Return the numbers of the steps that Rule 1 speaks of."""
    by_worker: defaultdict[str, _Touched] = defaultdict(_Touched)
    touched = [_touched_by(step) for step in run.steps]
    for step, each in zip(run.steps, touched, strict=True):
        by_worker[worker_of(step.actor)].add(each)
    return frozenset(
        step.number
        for step, each in zip(run.steps, touched, strict=True)
        if any(
            each.meets(theirs)
            for worker, theirs in by_worker.items()
            if worker != worker_of(step.actor)
        )
    )


@dataclass(slots=True)
class _Touched:
    """What a step, or all of a worker's steps, touched: paths, and listings as ``p/``.

    ``within`` are the directories that something touched is below of.
    """

    all: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)
    within: set[str] = field(default_factory=set)

    def add(self, other: _Touched) -> None:
        self.all |= other.all
        self.changed |= other.changed
        self.moved |= other.moved
        self.within |= other.within

    def meets(self, theirs: _Touched) -> bool:
        """Tell whether either changes, or moves away, what the other touches."""
        apart = self.all.isdisjoint(theirs.changed) and self.changed.isdisjoint(theirs.all)
        unmoved = self.within.isdisjoint(theirs.moved) and self.moved.isdisjoint(theirs.within)
        return not (apart and unmoved)


def _touched_by(step: Step) -> _Touched:
    paths = paths_of(step)
    touched = _Touched(all=set(paths), within={above for path in paths for above in _above(path)})
    if _LISTS.fullmatch(step.call):
        touched.all |= {f"{path}/" for path in paths}
    if failed(step) or _LOOKS.fullmatch(step.call):
        return touched
    creates = step.call in _OPENS and _CREATING.search(step.detail) is not None
    if step.call in _OPENS and not creates:
        return touched
    touched.changed |= set(paths)
    if creates or _NAMES.fullmatch(step.call):
        touched.changed |= {f"{path.rpartition('/')[0]}/" for path in paths}
    if step.call.startswith("rename"):
        touched.moved |= set(paths)
    return touched


def _above(path: str) -> Iterator[str]:
    """Name the directories that a path is below, the nearest first."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
