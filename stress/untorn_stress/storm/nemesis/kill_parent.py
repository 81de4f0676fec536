"""SIGKILL of the parent only: the decoder that it started lives on, and writes on (C5)."""

from __future__ import annotations

from random import Random
from typing import Final

from untorn_conformance.history import Excuse

from untorn_stress import supervise
from untorn_stress.storm.nemesis.kill_tree import descendants_of
from untorn_stress.storm.nemesis.protocol import Blow, Field, kills


class KillParent:
    """Kills a worker that has a child at work."""

    name: Final = "kill-parent"
    lasts_s: Final = 0.0
    excuses: Final = (Excuse.KILLS,)

    def cannot(self, field: Field) -> str:
        """Only workers that extract have children (with backends of one process)."""
        if field.has_role("extractor"):
            return ""
        return "nobody starts processes: give --extract, with a backend that extracts"

    def strike(self, field: Field, dice: Random) -> Blow | None:
        """Kill one parent; it bit if a child was seen to live on after its death."""
        parents = [each for each in field.living() if descendants_of(each.pid)]
        if not parents:
            return None
        victim = dice.choice(parents)
        below = descendants_of(victim.pid)
        survived: list[bool] = []
        blow = kills(field, self.name, [victim], f"{victim.name}, {len(below)} processes below")

        def over() -> bool:
            if not field.death_of(victim.name):
                return False
            survived.append(any(not supervise.is_gone(pid) for pid in below))
            return True

        blow.over = over
        blow.proof = lambda: field.death_of(victim.name) == "SIGKILL" and any(survived)
        return blow
