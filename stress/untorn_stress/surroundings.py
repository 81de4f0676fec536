"""What lies around the root and is none of the backend's business: noticed when it changes.

    laboratory/           nothing may be made here
      cache/ tmp/ ...     the backend's own, and ours: not looked at
      outside/photo.jpg   somebody else's: to stay as it is

Rule 1: each run begins with the surroundings as they were made, so that a run which goes astray is
        told from the one after it, and goes astray again when it is replayed.
Rule 2: only what is in the laboratory's folder is seen. Who writes to a path of its own elsewhere
        goes unnoticed.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Final

_SOMEBODY_ELSES: Final = "outside/photo.jpg"
_CONTENT: Final = b"not a frame of any cache"

_Mark = tuple[int, ...]


class Surroundings:
    """The laboratory's folder but for what is named ``ours``."""

    def __init__(self, folder: Path, *, ours: frozenset[str]) -> None:
        self._folder = folder
        self._ours = ours
        self._plant()
        self._before = self._look()

    def restore(self) -> None:
        """Make them as they were; done before each run."""
        changed = self.changed()
        if not changed:
            return
        for name in changed:
            path = self._folder / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        self._plant()
        self._before = self._look()

    def changed(self) -> tuple[str, ...]:
        """The paths, relative to the folder, that are new, gone or different; sorted."""
        now = self._look()
        names = now.keys() | self._before.keys()
        return tuple(sorted(name for name in names if now.get(name) != self._before.get(name)))

    def _plant(self) -> None:
        path = self._folder / _SOMEBODY_ELSES
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_bytes(_CONTENT)

    def _look(self) -> dict[str, _Mark]:
        found: dict[str, _Mark] = {}
        pending = [""]
        while pending:
            within = pending.pop()
            with os.scandir(self._folder / within) as entries:
                for entry in entries:
                    name = os.path.join(within, entry.name)
                    if name in self._ours or (not within and entry.name.startswith("stderr-")):
                        continue
                    status = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(name)
                        found[name] = (status.st_mode, status.st_uid)
                    else:
                        found[name] = _mark(status)
        return found


def _mark(status: os.stat_result) -> _Mark:
    """What does not stay the same when a file is changed."""
    about = (status.st_mode, status.st_uid, status.st_ino, status.st_nlink)
    assert not stat.S_ISDIR(status.st_mode), "a directory's stamps follow from its names"
    return (*about, status.st_size, status.st_mtime_ns)
