"""Permissions of directories below the root are taken away for a while, and given back."""

from __future__ import annotations

import os
import stat
import time
from random import Random
from typing import Final

from untorn_conformance.history import Excuse

from untorn_stress.storm.nemesis.protocol import Blow, Field, after

_FEWEST_S: Final = 0.1
_MORE_S: Final = 0.7
_DENIED: Final = frozenset({"EACCES", "EPERM", "unreadable"})
_OWN: Final = 0o700


class Permissions:
    """Takes writing, or everything, from the root or from some directories in it."""

    name: Final = "permissions"
    lasts_s: Final = 0.8
    excuses: Final = (Excuse.REFUSES,)

    def cannot(self, field: Field) -> str:
        """It needs workers that permissions mean something to."""
        return (
            "the workers are root: permissions mean nothing to them" if field.is_privileged else ""
        )

    def strike(self, field: Field, dice: Random) -> Blow | None:
        """Take them away; it bit if a worker was refused something."""
        begin_ns = time.monotonic_ns()
        left = dice.choice((0o500, 0o000))
        folders = [folder for folder, _, _ in os.walk(field.root)]
        chosen = [each for each in folders if dice.random() < 0.5] or folders[:1]  # noqa: PLR2004
        modes: dict[tuple[int, int], int] = {}
        for folder in chosen:
            _change(folder, left, modes)
        return Blow(
            name=self.name,
            excuses=self.excuses,
            begin_ns=begin_ns,
            over=after(_FEWEST_S + dice.random() * _MORE_S),
            heal=lambda: _give_back(field, modes),
            proof=lambda: any(
                each.reason in _DENIED or "Permission denied" in each.message
                for each in field.refused_since(begin_ns)
            ),
            detail=f"{len(modes)} directories to {left:04o}",
            in_force=bool(modes),
        )


def _change(folder: str, mode: int, modes: dict[tuple[int, int], int]) -> None:
    try:
        status = os.lstat(folder)
        if stat.S_ISDIR(status.st_mode):
            os.chmod(folder, mode)
            modes[status.st_dev, status.st_ino] = stat.S_IMODE(status.st_mode)
    except (FileNotFoundError, PermissionError):
        return  # it went, or is below one that we have just closed


def _give_back(field: Field, modes: dict[tuple[int, int], int]) -> None:
    """Restore by inode: a directory may have another name by now. Parents before their children."""
    pending = [str(field.root)]
    while pending:
        folder = pending.pop()
        try:
            status = os.lstat(folder)
            before = modes.get((status.st_dev, status.st_ino))
            if before is not None:
                os.chmod(folder, before | _OWN)
            pending += [
                each.path for each in os.scandir(folder) if each.is_dir(follow_symlinks=False)
            ]
        except (FileNotFoundError, NotADirectoryError):
            continue  # removed meanwhile
