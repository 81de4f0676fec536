"""An external cleaner thins entries, as systemd-tmpfiles does: old files go one by one.

It removes regular files by age, whatever they belong to, depth first; directories stay, and get
their times back, so that they look as old as they were. Newer versions pass by a directory on which
somebody else has a lock (flock(2), exclusive, not waiting); older ones and tmpwatch do not.

Sources: tmpfiles.d(5), ``dir_cleanup`` in src/tmpfiles/tmpfiles.c of systemd.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from random import Random
from typing import Final

from untorn_conformance.history import Excuse

from untorn_stress.storm import foreign
from untorn_stress.storm.nemesis.protocol import Blow, Field, after

_MOST_REMOVED: Final = 40


class Cleaner:
    """Removes a drawn share of the files below the root, never the root itself."""

    name: Final = "cleaner"
    lasts_s: Final = 0.0
    excuses: Final = (Excuse.REMOVES,)

    def cannot(self, field: Field) -> str:
        """It always can."""
        del field
        return ""

    def strike(self, field: Field, dice: Random) -> Blow | None:
        """Clean; it bit if a file was removed."""
        begin_ns = time.monotonic_ns()
        share, heeds_locks = dice.choice((0.05, 0.2, 0.6)), dice.random() < 0.5  # noqa: PLR2004
        removed = 0
        for folder, names in _folders(field):
            chosen = [name for name in names if dice.random() < share]
            removed += _clean(folder, chosen[: _MOST_REMOVED - removed], heeds_locks=heeds_locks)
        heeding = "heeding locks" if heeds_locks else "heeding no lock"
        return Blow(
            name=self.name,
            excuses=self.excuses,
            begin_ns=begin_ns,
            over=after(0.0),
            proof=lambda: removed > 0,
            detail=f"{removed} files, {heeding}",
            in_force=removed > 0,
        )


def _folders(field: Field) -> Iterator[tuple[str, list[str]]]:
    """Directories below the root with their regular files, in an order that is drawn by nobody.

    Those that are foreign are left out: it is judged whether the cache takes them.
    """
    for folder, directories, files in os.walk(field.root):
        strange = foreign.NAMES if folder == str(field.root) else frozenset()
        directories[:] = sorted(set(directories) - strange)
        yield folder, sorted(set(files) - strange)


def _clean(folder: str, names: list[str], *, heeds_locks: bool) -> int:
    if not names:
        return 0
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return 0  # it went, or nobody may pass just now
    try:
        if heeds_locks:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
        before = os.fstat(fd)
        removed = sum(_unlinked(name, fd) for name in names)
        os.utime(fd, ns=(before.st_atime_ns, before.st_mtime_ns))
        return removed
    finally:
        os.close(fd)


def _unlinked(name: str, fd: int) -> bool:
    try:
        os.unlink(name, dir_fd=fd)
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        return False  # somebody was quicker, or nobody may
    return True
