"""SIGSTOP for longer than the configured ages, then SIGCONT: what looks dead by its age is not."""

from __future__ import annotations

import time
from random import Random
from typing import Final

from untorn_conformance.history import Excuse

from untorn_stress.storm.nemesis.protocol import Blow, Field, after

_LONGER_S: Final = 0.2
_WAITS_S: Final = 1.2
"""How much longer than the ages it is until the strike ends without a proof."""

_MOST: Final = 2


class StopAwhile:
    """Stops one or two workers where they are."""

    name: Final = "stop"
    lasts_s: Final = 2.7
    excuses: Final = (Excuse.STOPS,)

    def cannot(self, field: Field) -> str:
        """It always can."""
        del field
        return ""

    def strike(self, field: Field, dice: Random) -> Blow | None:
        """Stop; it bit if one was seen to stand still, and answered when it went on."""
        living = [each for each in field.living() if not each.stopped]
        if len(living) <= _MOST:
            return None
        begin_ns = time.monotonic_ns()
        victims = dice.sample(living, dice.randint(1, _MOST))
        stopped = [each for each in victims if field.stop(each)]
        ends, waited = after(field.min_age_s + _LONGER_S), after(field.min_age_s + _WAITS_S)
        given: dict[str, int] = {}

        def heal() -> None:
            for each in victims:
                # By now, all that was answered before the stop has been taken in.
                given.setdefault(each.name, each.answers)
                field.resume(each)

        def went_on() -> bool:
            return any(each.answers > given.get(each.name, each.answers) for each in stopped)

        def over() -> bool:
            if ends() and not given:
                heal()
            return waited() or went_on()

        return Blow(
            name=self.name,
            excuses=self.excuses,
            begin_ns=begin_ns,
            over=over,
            heal=heal,
            proof=went_on,
            detail=", ".join(
                f"{each.name}{f' in its {each.op.verb}' if each.op else ''}" for each in victims
            ),
            processes=tuple(each.name for each in victims),
            in_force=bool(stopped),
        )
