"""SIGKILL of one worker. What it had started lives on as orphans until the nursery ends them.

Every other kill is aimed: it waits for a publish, a stage or a collect to be asked, and strikes
amid it. The others meet whoever is drawn in whatever it does, or between two turns.
"""

from __future__ import annotations

import time
from random import Random
from typing import Final

from untorn_conformance.backend import Verb
from untorn_conformance.history import Excuse

from untorn_stress.storm.nemesis.protocol import Blow, Field, after, kills
from untorn_stress.storm.nursery import children_of

_TARGETS: Final = (Verb.PUBLISH, Verb.PUBLISH, Verb.STAGE, Verb.COLLECT)
_AIMED: Final = 0.5
_PATIENCE_S: Final = 1.0


class KillWorker:
    """Kills whoever is drawn, or who is next asked what is drawn."""

    name: Final = "kill"
    lasts_s: Final = 0.0
    excuses: Final = (Excuse.KILLS,)

    def cannot(self, field: Field) -> str:
        """It always can."""
        del field
        return ""

    def strike(self, field: Field, dice: Random) -> Blow | None:
        """Kill one worker that runs and has no children; those that have are others' business."""
        is_aimed, verb, part = dice.random() < _AIMED, dice.choice(_TARGETS), dice.random()
        if is_aimed and field.has_role("collector" if verb is Verb.COLLECT else "writer"):
            return _aimed(field, verb, part)
        living = [
            each
            for each in field.living()
            if not each.stopped and not field.is_spared(each) and not children_of(each.pid)
        ]
        if not living:
            return None
        victim = dice.choice(living)
        doing = "" if victim.op is None else f" in its {victim.op.verb}"
        return kills(field, self.name, [victim], f"{victim.name}{doing}")


def _aimed(field: Field, verb: Verb, part: float) -> Blow:
    """Lie in wait for a verb; it bit if whoever was asked it was told to have died of it."""
    shot = field.aim(verb.value, part)
    ends = after(_PATIENCE_S)

    def over() -> bool:
        if shot.victim is None:
            return ends()
        blow.detail = f"{shot.victim.name} in its {verb.value}"
        blow.processes = (shot.victim.name,)
        blow.in_force = True
        return bool(field.death_of(shot.victim.name))

    def heal() -> None:
        shot.given_up = True

    blow = Blow(
        name=KillWorker.name,
        excuses=KillWorker.excuses,
        begin_ns=time.monotonic_ns(),
        over=over,
        heal=heal,
        proof=lambda: shot.victim is not None and field.death_of(shot.victim.name) == "SIGKILL",
        detail=f"nobody was asked {verb.value}",
        in_force=False,
    )
    return blow
