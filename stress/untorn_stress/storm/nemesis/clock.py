"""Some workers' clocks are a day off [virtual-clock]: as on hosts that share a root and no time."""

from __future__ import annotations

import time
from random import Random
from typing import Final

from untorn_conformance.history import Excuse

from untorn_stress.storm.nemesis.protocol import Blow, Field, after

_OFFSETS_S: Final = (-86_400.0, -60.0, 60.0, 86_400.0)
_LASTS_S: Final = 1.0


class ClockOffset:
    """Ends one or two workers; their successors open the root with another time of day."""

    name: Final = "clock"
    lasts_s: Final = 1.0
    excuses: Final = (Excuse.KILLS, Excuse.AGES)

    def cannot(self, field: Field) -> str:
        """It needs a backend whose clock can be set."""
        return "" if field.has_clock else "the backend does not declare virtual-clock"

    def strike(self, field: Field, dice: Random) -> Blow | None:
        """Restart them so; it bit if workers with such a clock gave answers."""
        living = [each for each in field.living() if not each.stopped]
        if not living:
            return None
        begin_ns = time.monotonic_ns()
        victims = dice.sample(living, min(len(living), dice.randint(1, 2)))
        seconds = dice.choice(_OFFSETS_S)
        slots = [each.slot for each in victims]
        for each in victims:
            field.offset(each.slot, seconds)
            field.kill(each)
        seen: set[int] = set()

        def proof() -> bool:
            return bool(seen)

        ends = after(_LASTS_S)

        def over() -> bool:
            seen.update(
                each.slot
                for each in field.living()
                if each.offset_s == seconds and each.answers > 1
            )
            return ends()

        def heal() -> None:
            for slot in slots:
                field.offset(slot, 0.0)
            for each in field.living():
                if each.slot in slots and each.offset_s:
                    field.kill(each)

        return Blow(
            name=self.name,
            excuses=self.excuses,
            begin_ns=begin_ns,
            over=over,
            heal=heal,
            proof=proof,
            detail=f"{', '.join(each.name for each in victims)} restarted at {seconds:+.0f} s",
            processes=tuple(each.name for each in victims),
        )
