"""Removing whatever a broken backend left, however deep, linked or locked away.

Rule 1: only what is below the given name goes: a symlink is removed, never followed.
Rule 2: depth costs nothing: inner directories are hoisted before they are emptied, so that neither
        the path's length, nor recursion, nor open descriptors limit it.
Rule 3: a directory of ours that may not be entered is given permission first.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterator
from typing import Final

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_WHOLE: Final = 0o700


def remove(path: str, status: os.stat_result) -> None:
    """Remove the name ``path``, which ``lstat`` says is ``status``, and all below it.

    The directory that holds it must be writable. Raises OSError as it comes.
    """
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(path)
        return
    if stat.S_IMODE(status.st_mode) & _WHOLE != _WHOLE:
        os.chmod(path, _WHOLE)
    descriptor = os.open(path, _DIRECTORY)
    try:
        _empty(descriptor)
    finally:
        os.close(descriptor)
    os.rmdir(path)


def _empty(top: int) -> None:
    inner = _remove_files(top)
    names = _names_beside(inner)
    while inner:
        name = inner.pop()
        folder = _enter(name, top)
        try:
            for deeper in _remove_files(folder):
                hoisted = next(names)
                # Moving a directory rewrites its "..", for which it must be writable (rename(2)).
                _permit(deeper, folder)
                os.rename(deeper, hoisted, src_dir_fd=folder, dst_dir_fd=top)
                inner.append(hoisted)
        finally:
            os.close(folder)
        os.rmdir(name, dir_fd=top)


def _remove_files(folder: int) -> list[str]:
    """Unlink all that is no directory; return the names of the directories."""
    inner = []
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if is_directory:
            inner.append(name)
        else:
            os.unlink(name, dir_fd=folder)
    return inner


def _enter(name: str, parent: int) -> int:
    _permit(name, parent)
    return os.open(name, _DIRECTORY, dir_fd=parent)


def _permit(name: str, parent: int) -> None:
    mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    if mode & _WHOLE != _WHOLE:
        os.chmod(name, _WHOLE, dir_fd=parent)


def _names_beside(taken: list[str]) -> Iterator[str]:
    """Yield names that no directory at the top has, and never the same twice."""
    avoided = frozenset(taken)
    return (name for name in map(str, itertools.count()) if name not in avoided)
