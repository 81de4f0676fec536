"""The disk has no inode left: there is room for bytes, and none for another file or directory."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from random import Random
from typing import Final

from untorn_conformance.history import Excuse

from untorn_stress.storm.nemesis.disk_full import is_full, met_no_room, no_small_disk
from untorn_stress.storm.nemesis.protocol import Blow, Field, after

_FEWEST_S: Final = 0.3
_MORE_S: Final = 0.7


class InodesFull:
    """Takes all inodes with empty files beside the root, and takes again what is freed."""

    name: Final = "inodes-full"
    lasts_s: Final = 1.0
    excuses: Final = (Excuse.REFUSES,)

    def cannot(self, field: Field) -> str:
        """It needs a file system of our own."""
        return no_small_disk(field)

    def strike(self, field: Field, dice: Random) -> Blow | None:
        """Take them; it bit if a worker said that there was no room."""
        begin_ns = time.monotonic_ns()
        folder = field.root.parent / f"fillers-{dice.getrandbits(32):08x}"
        taken = _Fillers(folder)
        taken.take()
        ends = after(_FEWEST_S + dice.random() * _MORE_S)

        def over() -> bool:
            taken.take()
            return ends()

        return Blow(
            name=self.name,
            excuses=self.excuses,
            begin_ns=begin_ns,
            over=over,
            heal=taken.give_back,
            proof=lambda: met_no_room(field, begin_ns),
            detail=f"{taken.count} inodes taken",
        )


class _Fillers:
    def __init__(self, folder: Path) -> None:
        self.count = 0
        self._folder = folder

    def take(self) -> None:
        """Make empty files until no more can be made."""
        try:
            self._folder.mkdir(exist_ok=True)
            while True:
                path = self._folder / str(self.count)
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
                self.count += 1
        except OSError as error:
            if not is_full(error):
                raise

    def give_back(self) -> None:
        """Remove them all."""
        if self._folder.exists():
            shutil.rmtree(self._folder)
