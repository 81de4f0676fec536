"""When nobody can move any more: whoever has not answered is dead or waits for ever.

Rule 1: who was killed on purpose owes no answer.
Rule 2: a death that nobody brought about is L2, a wait that never ends L5.
"""

from __future__ import annotations

from collections.abc import Iterable

from untorn_stress.player import Player
from untorn_stress.run import Finding, FindingKind


def findings(players: Iterable[Player], last: int) -> list[Finding]:
    """A finding for each who owes an answer; ``last`` is the number of the last step."""
    return [
        _finding(player, player.current.ask.verb, last)
        for player in players
        if player.current is not None and not player.worker.was_killed
    ]


def _finding(player: Player, verb: str, last: int) -> Finding:
    worker = player.worker
    if worker.is_dead or worker.has_hung_up:
        message = f"{worker.letter} died in {verb}, and nobody had killed it"
        kind, requirement, rule = FindingKind.DIED, "L2", "died"
    else:
        message = f"{worker.letter} waits in {verb} for what never comes"
        kind, requirement, rule = FindingKind.DEADLOCK, "L5", "deadlock"
    return Finding(kind=kind, requirement=requirement, rule=rule, message=message, step=last)
