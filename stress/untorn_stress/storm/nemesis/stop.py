"""SIGSTOP for longer than the configured ages, then SIGCONT: what looks dead by its age is not."""

from __future__ import annotations

import time
from random import Random
from typing import Final

from untorn_conformance.history import Excuse

from untorn_stress.storm.nemesis.protocol import Blow, Field, after

_LONGER_S: Final = 0.2
_MOST: Final = 2


class StopAwhile:
    """Stops one or two workers where they are."""

    name: Final = "stop"
    lasts_s: Final = 2.5
    excuses: Final = (Excuse.STOPS,)

    def cannot(self, field: Field) -> str:
        """It always can."""
        del field
        return ""

    def strike(self, field: Field, dice: Random) -> Blow | None:
        """Stop; it bit if they were seen to stand still, and others were not."""
        living = [each for each in field.living() if not each.stopped]
        if len(living) <= _MOST:
            return None
        begin_ns = time.monotonic_ns()
        victims = dice.sample(living, dice.randint(1, _MOST))
        stopped = [each for each in victims if field.stop(each)]
        slots = {each.slot for each in victims}
        others = [each.slot for each in living if each.slot not in slots]
        before = sum(field.answers_of(slot) for slot in others)

        def heal() -> None:
            for each in victims:
                field.resume(each)

        return Blow(
            name=self.name,
            excuses=self.excuses,
            begin_ns=begin_ns,
            over=after(field.min_age_s + _LONGER_S),
            heal=heal,
            proof=lambda: bool(stopped) and sum(map(field.answers_of, others)) > before,
            detail=", ".join(
                f"{each.name}{f' in its {each.op.verb}' if each.op else ''}" for each in victims
            ),
            processes=tuple(each.name for each in victims),
        )
