"""The disk has no inode left: there is room for bytes, and none for another file or directory."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random
from typing import Final

from untorn_stress.storm.nemesis.filling import (
    EXCUSES,
    LASTS_S,
    filled,
    no_small_disk,
    require_full,
)
from untorn_stress.storm.nemesis.protocol import Blow, Field


class InodesFull:
    """Takes all inodes with empty files beside the root."""

    name: Final = "inodes-full"
    lasts_s: Final = LASTS_S
    excuses: Final = EXCUSES

    def cannot(self, field: Field) -> str:
        """It needs a file system of our own."""
        return no_small_disk(field)

    def strike(self, field: Field, dice: Random) -> Blow | None:
        """Take them; it bit if a worker said that there was no room."""
        taken = _Fillers(field.root.parent / f"fillers-{dice.getrandbits(32):08x}")
        return filled(self.name, field, dice, fill=taken.take, empty=taken.give_back)


class _Fillers:
    def __init__(self, folder: Path) -> None:
        self.count = 0
        self._folder = folder

    def take(self) -> str:
        """Make empty files until no more can be made; says how many there are."""
        try:
            self._folder.mkdir(exist_ok=True)
            while True:
                path = self._folder / str(self.count)
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
                self.count += 1
        except OSError as error:
            require_full(error)
        return f"{self.count} inodes taken"

    def give_back(self) -> None:
        """Remove them all."""
        if self._folder.exists():
            shutil.rmtree(self._folder)
