"""In which order cases begin: the long ones first, so that no process waits for another's last.

pytest-xdist's ``worksteal`` gives each process a run of neighbouring cases, and an idle one half of
what another has left, from its end; the last two are never given away. So each process begins with
long cases, and what is given away, or is left to the end, is short.

Rule 1: the order depends on the cases and the number of processes alone: each collects the same.
Rule 2: among equals the order stays; with one process nothing changes.
Rule 3: the order is that of what is left when all have left out what they do not want.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest

from untorn_conformance.cases import turn_of

T = TypeVar("T")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order what one of several processes has collected."""
    processes = getattr(config, "workerinput", {}).get("workercount", 1)
    items[:] = dealt(items, turn_of, processes)


def dealt(items: Sequence[T], turn_of: Callable[[T], int | None], processes: int) -> list[T]:
    """The items in the order in which they are to be handed out.

    ``turn_of`` is None for a short one; of the others the lowest turn comes first.
    """
    if processes == 1:
        return list(items)
    turns = {at: turn for at, each in enumerate(items) if (turn := turn_of(each)) is not None}
    long = [items[at] for at in sorted(turns, key=lambda at: (turns[at], at))]
    short = [each for at, each in enumerate(items) if at not in turns]
    order: list[T] = []
    for process in range(processes):
        first = long[process::processes]
        share = (len(items) - len(order)) // (processes - process)
        room = max(0, share - len(first))
        order += [*first, *short[:room]]
        short = short[room:]
    return [*order, *short]
