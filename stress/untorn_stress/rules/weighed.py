"""Weighed (G2): who is over a budget of nothing is over it by all that is stored.

Rule 1: a collector that evicts nothing, since all is too young, says to be over a budget of 0 bytes
        by no less than the frames that a fresh reader was then handed weigh.

So it is that a budget is kept: what is not counted is not evicted. It matters after a crash: what a
writer would have noted of its entry when it died, nobody has.

Not flagged: more, since what else a backend counts is its own affair; entries that an outsider
harmed; bytes that are not those of st_size.
"""

from __future__ import annotations

from collections.abc import Iterator

from untorn_conformance.backend import Hit

from untorn_stress.payloads import frame_bytes
from untorn_stress.rules.history import History, Holding
from untorn_stress.run import Finding


def judge_weighed(history: History) -> Iterator[Finding]:
    """Judge what a collector holds to be stored when the run is over, by what is read then."""
    held = None if history.debris is None else history.debris.held_bytes
    if held is None:
        return
    read = sum(_frame_bytes(history, each) for each in _hit_first(history))
    if held < read:
        message = (
            f"a collect is over a budget of 0 by {held} bytes, and the frames that a lookup "
            f"then gives weigh {read}"
        )
        yield history.finding("G2", "under-weighed", message, None)


def _hit_first(history: History) -> Iterator[Holding]:
    """What the first lookup of each key gave when the run was over, before anybody published."""
    asked: set[str | None] = set()
    for holding in history.holdings:
        if history.is_after_the_run(holding.source) and holding.label not in asked:
            asked.add(holding.label)
            if isinstance(holding.answer, Hit) and history.is_sound(holding):
                yield holding


def _frame_bytes(history: History, holding: Holding) -> int:
    origins = history.origins(holding).values()
    return sum(frame_bytes(origin.writer) for origin in origins if origin is not None)
