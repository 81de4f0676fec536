"""Whose a storm's directories are: a living driver's, or the next storm's to remove.

The driver holds a lock (flock(2)) on a file in each of its directories. It ends with the driver,
however that ends, and is seen from every process id namespace.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from pathlib import Path
from typing import Final

PREFIX: Final = "untorn-storm-"
_LOCK: Final = ".driver"


def own(folder: Path) -> int:
    """Make a directory ours, as long as the descriptor that is returned is open. Raises OSError."""
    new = folder / f"{_LOCK}.new"
    fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    new.rename(folder / _LOCK)  # it is never seen without its lock
    return fd


def remove_stale(directory: Path) -> list[Path]:
    """Remove the directories of storms whose drivers are gone; those that were removed."""
    return [path for path in sorted(directory.glob(f"{PREFIX}*")) if _is_stale(path)]


def _is_stale(path: Path) -> bool:
    try:
        fd = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False  # another user's, or just being made
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        remove_tree(path)
        return True
    finally:
        os.close(fd)


def remove_tree(folder: Path) -> None:
    """Remove a tree, also where permissions of its directories were taken away. Raises OSError."""
    if not folder.exists():
        return
    for path, directories, _ in os.walk(folder):
        for name in directories:
            below = os.path.join(path, name)
            if not os.path.islink(below):
                with contextlib.suppress(OSError):  # the removal will say what cannot be done
                    os.chmod(below, 0o700)
    with contextlib.suppress(FileNotFoundError):  # the nursery removes it, too
        shutil.rmtree(folder)
