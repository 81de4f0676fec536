"""Every mtime below the root is shifted: a clock was set, a backup restored, a disk moved.

It happens twice, and between the two each writer stages something and holds it, and then each
collector collects: work that somebody has staged and holds looks old (C4), and is not.
"""

from __future__ import annotations

import os
import time
from random import Random
from typing import Final

from untorn_conformance import probe
from untorn_conformance.history import Excuse

from untorn_stress.storm.nemesis.protocol import Blow, Field, after

_SHIFTS_S: Final = (60.0, 3600.0, 86_400.0, 86_400.0, -60.0, -86_400.0)
_HELD_S: Final = 0.6
"""For how long writers hold what they stage next, so that it is there when all is shifted again."""


class ShiftMtimes:
    """Makes all that is there older, or younger than now."""

    name: Final = "mtimes"
    lasts_s: Final = 0.6
    excuses: Final = (Excuse.AGES,)

    def cannot(self, field: Field) -> str:
        """It always can."""
        del field
        return ""

    def strike(self, field: Field, dice: Random) -> Blow | None:
        """Shift, twice; it bit if a file's mtime is another one afterwards."""
        begin_ns = time.monotonic_ns()
        seconds = dice.choice(_SHIFTS_S)
        for each in field.living("writer"):
            each.part.hold_s = _HELD_S
        shifts = [_shift(field, seconds)]
        middle, ends = after(_HELD_S / 2), after(_HELD_S)

        def over() -> bool:
            if middle() and len(shifts) == 1:
                # What writers were asked to hold is there by now: those who collect find it aged.
                shifts.append(_shift(field, seconds))
                for each in field.living("collector"):
                    each.part.burst = 1
            return ends()

        def heal() -> None:
            blow.in_force = any(count for count, _ in shifts)

        def proof() -> bool:
            return any(count and farthest_s > abs(seconds) / 2 for count, farthest_s in shifts)

        blow = Blow(
            name=self.name,
            excuses=self.excuses,
            begin_ns=begin_ns,
            over=over,
            heal=heal,
            proof=proof,
            detail=f"{sum(count for count, _ in shifts)} names by {-seconds:+.0f} s, and again",
            in_force=False,
        )
        return blow


def _shift(field: Field, seconds: float) -> tuple[int, float]:
    """Shift; how many names were, and how far from now the farthest file is then."""
    shifted = probe.shift_mtimes(field.root, seconds)
    return shifted, max((abs(time.time() - each) for each in _mtimes(field)), default=0.0)


def _mtimes(field: Field) -> list[float]:
    found = []
    for folder, _, files in os.walk(field.root):
        for name in files:
            try:
                found.append(os.lstat(os.path.join(folder, name)).st_mtime)
            except FileNotFoundError:
                continue  # removed meanwhile
    return found
