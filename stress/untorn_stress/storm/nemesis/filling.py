"""What filling a small disk is, whatever there is none left of: bytes or inodes.

Rule 1: what is freed meanwhile is taken again, so that a collect does not end it.
Rule 2: it bit where a worker said that there was no room.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from random import Random
from typing import Final

from untorn_conformance.history import Excuse

from untorn_stress.storm.nemesis.protocol import Blow, Field, after

LASTS_S: Final = 1.0
EXCUSES: Final = (Excuse.REFUSES,)
_NO_ROOM: Final = frozenset({"ENOSPC", "EDQUOT"})
_FEWEST_S: Final = 0.3
_MORE_S: Final = 0.7


def no_small_disk(field: Field) -> str:
    """Why a disk cannot be filled here."""
    return "" if field.is_small else "only a small file system is filled"


def require_full(error: OSError) -> None:
    """Let the error pass that says that there is no room; any other flies."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        raise error


def filled(
    name: str,
    field: Field,
    dice: Random,
    *,
    fill: Callable[[], str],
    empty: Callable[[], None],
) -> Blow:
    """Fill, and fill again until it is over; ``fill`` says what it has taken."""
    begin_ns = time.monotonic_ns()
    detail = fill()
    ends = after(_FEWEST_S + dice.random() * _MORE_S)

    def over() -> bool:
        fill()
        return ends()

    return Blow(
        name=name,
        excuses=EXCUSES,
        begin_ns=begin_ns,
        over=over,
        heal=empty,
        proof=lambda: _met_no_room(field, begin_ns),
        detail=detail,
    )


def _met_no_room(field: Field, begin_ns: int) -> bool:
    """Whether a worker has said since that there was no room."""
    return any(
        each.reason in _NO_ROOM or any(word in each.message for word in (*_NO_ROOM, "No space"))
        for each in field.refused_since(begin_ns)
    )
