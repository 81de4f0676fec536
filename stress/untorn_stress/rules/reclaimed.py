"""Reclaimed (C3, C4): one collect after the grace leaves no more names than it ever does.

Rule 1: it is answered, and in no error.
Rule 2: it leaves no more names than usual.

The measure is the backend's own: what an undisturbed publish and a collect leave of an empty cache.
It is one of number, since names are drawn.

Not flagged: fewer names; runs after which nobody was to collect, or whose collect was skipped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from untorn_stress.rules.history import History
from untorn_stress.run import Finding

_MOST_NAMED = 3


def judge_reclaimed(history: History) -> Iterator[Finding]:
    """Judge what a collect left when all were dead and everything was old."""
    debris = history.debris
    row = history.row_of_a_crash("C3")
    if debris is not None and debris.failed:
        message = f"everybody was dead, and a fresh collector {debris.failed}"
        yield history.finding(row, "not-collected", message, None)
        return
    if debris is None or len(debris.left) <= len(debris.usual):
        return
    more = sorted((Counter(debris.left) - Counter(debris.usual)).elements())
    named = ", ".join(more[:_MOST_NAMED]) + ", ..." * (len(more) > _MOST_NAMED)
    message = (
        f"a collect after the grace leaves {len(debris.left)} names, where an undisturbed publish "
        f"and a collect leave {len(debris.usual)}: {named}"
    )
    yield history.finding(row, "debris", message, None)
