"""Every mtime below the root is shifted: a clock was set, a backup restored, a disk moved."""

from __future__ import annotations

import os
import time
from random import Random
from typing import Final

from untorn_conformance import probe
from untorn_conformance.history import Excuse

from untorn_stress.storm.nemesis.protocol import Blow, Field, after

_SHIFTS_S: Final = (60.0, 3600.0, 86_400.0, -60.0, -86_400.0)


class ShiftMtimes:
    """Makes all that is there older, or younger than now."""

    name: Final = "mtimes"
    lasts_s: Final = 0.0
    excuses: Final = (Excuse.AGES,)

    def cannot(self, field: Field) -> str:
        """It always can."""
        del field
        return ""

    def strike(self, field: Field, dice: Random) -> Blow | None:
        """Shift; it bit if a file's mtime is another one afterwards."""
        begin_ns = time.monotonic_ns()
        seconds = dice.choice(_SHIFTS_S)
        shifted = probe.shift_mtimes(field.root, seconds)
        farthest_s = max((abs(time.time() - each) for each in _mtimes(field)), default=0.0)
        return Blow(
            name=self.name,
            excuses=self.excuses,
            begin_ns=begin_ns,
            over=after(0.0),
            proof=lambda: shifted > 0 and farthest_s > abs(seconds) / 2,
            detail=f"{shifted} names by {-seconds:+.0f} s",
        )


def _mtimes(field: Field) -> list[float]:
    found = []
    for folder, _, files in os.walk(field.root):
        for name in files:
            try:
                found.append(os.lstat(os.path.join(folder, name)).st_mtime)
            except FileNotFoundError:
                continue  # removed meanwhile
    return found
