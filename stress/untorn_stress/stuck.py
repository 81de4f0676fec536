"""When nobody can move any more: whoever has not answered is dead or waits for ever.

Rule 1: who was killed on purpose owes no answer.
Rule 2: a death that nobody brought about is L2, a wait that never ends L5; both are D2 where a
        call was made to fail.
"""

from __future__ import annotations

from collections.abc import Iterable

from untorn_stress.player import Asked, Player
from untorn_stress.run import Finding, FindingKind


def findings(players: Iterable[Player], last: int) -> list[Finding]:
    """A finding for each who owes an answer; ``last`` is the number of the last step."""
    return [
        _finding(player, player.current, last)
        for player in players
        if player.current is not None and not player.worker.was_killed
    ]


def _finding(player: Player, asked: Asked, last: int) -> Finding:
    worker, verb = player.worker, asked.ask.verb
    if worker.is_dead or worker.has_hung_up:
        message = f"{worker.letter} died in {verb}, and nobody had killed it"
        kind, requirement, rule = FindingKind.DIED, "L2", "died"
    else:
        message = f"{worker.letter} waits in {verb} for what never comes"
        kind, requirement, rule = FindingKind.DEADLOCK, "L5", "deadlock"
    if asked.faults:
        requirement, message = "D2", f"{message}; it met {', '.join(asked.faults)}"
    return Finding(kind=kind, requirement=requirement, rule=rule, message=message, step=last)
