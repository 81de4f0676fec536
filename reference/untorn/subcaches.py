"""Sub-caches: caches of their own below a root, each with its own budget and lifetime.

A sub-cache `animated-gif` is a complete root at `<root>/animated-gif`, its entries, staging, trash
and counters included. Neither side ever looks into the other: a collect lists `v1`, `staging` and
`trash` of its own root alone, so no budget, age or clean-up reaches across. What they share is the
directory they lie in: whoever deletes the root deletes the sub-caches with it.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import re
import stat
from dataclasses import dataclass
from typing import Literal

from untorn import accounting, layout, syscalls
from untorn.config import Settings, checked_budget, checked_seconds
from untorn.errors import ConfigError
from untorn.root import Root, unsafe

MAX_NAME = 64
# ASCII that every file system, shell and log keeps as it is; no separator and no leading dot.
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME - 1}}}")
_NONE_OF_OURS = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # gone, a file, a symlink
_RESERVED = frozenset(name.lower() for name in (*layout.DIRECTORIES, layout.CACHEDIR_TAG))


@dataclass(frozen=True, kw_only=True, slots=True)
class SubCache:
    """A sub-cache as its counter has it: entries and their bytes, or the `problem` in the way."""

    name: str
    entries: int = 0
    entry_bytes: int = 0
    problem: str = ""


def is_name(name: str) -> bool:
    """Whether a sub-cache may be called `name`: short plain ASCII that the layout does not use."""
    return (
        _NAME.fullmatch(name) is not None
        and name.lower() not in _RESERVED
        and layout.generation_of(name.lower()) is None
    )


def settings(
    parent: Settings,
    name: str,
    budget_bytes: int | Literal["unlimited"] | None,
    min_age_s: float | None,
) -> Settings:
    """The settings of the sub-cache `name`: the parent's, but for its place, budget and age.

    Raises ConfigError for a name that means nothing, and below another sub-cache.
    """
    if parent.within is not None:
        raise ConfigError("a sub-cache has no sub-caches of its own")
    if not isinstance(name, str) or not is_name(name):
        raise ConfigError(
            f"a sub-cache's name is 1 to {MAX_NAME} letters, digits and . _ - that the cache does "
            f"not use itself, not {name!a}"
        )
    return dataclasses.replace(
        parent,
        root=None if parent.root is None else os.path.join(parent.root, name),
        within=parent.root,
        budget_bytes=(
            parent.budget_bytes if budget_bytes is None else checked_budget(budget_bytes)
        ),
        min_age_s=parent.min_age_s
        if min_age_s is None
        else checked_seconds(min_age_s, "min_age_s"),
    )


def listed(root: Root) -> list[SubCache]:
    """The sub-caches below `root`, by name; nothing is made or touched (OSError: `root` itself).

    Only what was opened as a root before counts; other siblings are not the cache's.
    """
    found = []
    for name in sorted(syscalls.names_below(root.fd)):
        if not is_name(name):
            continue
        try:
            with syscalls.opened(name, syscalls.DIRECTORY_FLAGS, dir_fd=root.fd) as fd:
                if _is_root(fd):
                    found.append(_weighed(name, fd))
        except OSError as error:
            if error.errno not in _NONE_OF_OURS:
                found.append(SubCache(name=name, problem=error.strerror or str(error)))
    return found


def _is_root(fd: int) -> bool:
    """Whether a directory was opened as a root before: it has entries and a collectors' lock."""
    try:
        entries = os.stat(layout.ENTRIES, dir_fd=fd, follow_symlinks=False)
        lock = os.stat(f"{layout.CTL}/{layout.GC_LOCK}", dir_fd=fd, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISDIR(entries.st_mode) and stat.S_ISREG(lock.st_mode)


def _weighed(name: str, fd: int) -> SubCache:
    problem = unsafe(os.fstat(fd))
    if problem is not None:
        return SubCache(name=name, problem=problem)
    with syscalls.opened(layout.CTL, syscalls.DIRECTORY_FLAGS, dir_fd=fd) as ctl_fd:
        usage = accounting.read_at(ctl_fd)
    return SubCache(name=name, entries=usage.entries, entry_bytes=usage.size)
