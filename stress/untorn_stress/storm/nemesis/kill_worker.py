"""SIGKILL of one worker. What it had started lives on as orphans until the nursery ends them."""

from __future__ import annotations

from random import Random
from typing import Final

from untorn_conformance.history import Excuse

from untorn_stress.storm.nemesis.protocol import Blow, Field, kills
from untorn_stress.storm.nursery import children_of


class KillWorker:
    """Kills whoever is drawn, in the midst of whatever it does."""

    name: Final = "kill"
    lasts_s: Final = 0.0
    excuses: Final = (Excuse.KILLS,)

    def cannot(self, field: Field) -> str:
        """It always can."""
        del field
        return ""

    def strike(self, field: Field, dice: Random) -> Blow | None:
        """Kill one worker that runs and has no children; those that have are others' business."""
        living = [each for each in field.living() if not each.stopped and not children_of(each.pid)]
        if not living:
            return None
        victim = dice.choice(living)
        doing = "" if victim.op is None else f" in its {victim.op.verb}"
        return kills(field, self.name, [victim], f"{victim.name}{doing}")
