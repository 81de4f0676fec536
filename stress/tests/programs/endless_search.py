"""Explores one scenario again and again: ``endless_search.py FACTORY SCENARIO FOLDER``.

Something to interrupt and to kill: it is amid a run nearly always, and never ends by itself. Says
``running`` on its stdout at the ``STEPS``-th step, when every worker has started what it starts,
and ``interrupted`` when a KeyboardInterrupt has come through all that it had to clean up.

FACTORY is a backend's MODULE:FACTORY, to be found on the path. What it makes is below FOLDER.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from untorn_stress.ensemble import Cast
from untorn_stress.gated import GatedSystem
from untorn_stress.laboratory import Laboratory, Subject
from untorn_stress.scenarios import scenario
from untorn_stress.schedulers.protocol import Moment, Option

STEPS = 30


class TakingTurns:
    """Everybody moves in turn, so that all get somewhere; says when that is so."""

    def __init__(self) -> None:
        self._steps = 0

    def choose(self, moment: Moment) -> Option:
        """Another one than before, where there is another one."""
        self._steps += 1
        if self._steps == STEPS:
            say("running")
        return moment.options[moment.step % len(moment.options)]


def main(arguments: Sequence[str]) -> None:
    """Explore until something ends us."""
    factory, name, folder = arguments
    zygote = (sys.executable, "-m", "untorn_conformance.zygote", factory)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    cast = Cast(name=factory, identity="endless@1", env=environment, zygote=zygote)
    subject = Subject(spec=factory, identity="endless@1", cast=cast, capabilities=frozenset())
    played = scenario(name)
    try:
        with Laboratory(subject, base=Path(folder)) as laboratory:
            search(laboratory.system(played, laboratory.natural(played.tree)))
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)


def say(word: str) -> None:
    """Tell whoever started us."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def search(system: GatedSystem) -> None:
    """Run for ever."""
    turns = TakingTurns()
    while True:
        system.run(turns.choose)


if __name__ == "__main__":
    main(sys.argv[1:])
