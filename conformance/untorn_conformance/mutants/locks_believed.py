"""The reference that believes in locks. Seeded bug: nobody sees whether one refuses."""

from __future__ import annotations

from typing import Final

from untorn import root
from untorn.root import Trust

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Search, Shown

KILLS: Final = frozenset({"N1"})
MAY_FAIL: Final = frozenset({"C1", "P1", "P2", "P3", "R4"})
SHOWN_BY: Final[Shown] = (
    Search(scenario="repair-noop", preemptions=0, row="N1", rule="repaired", says="over damage"),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    root._judge_trust = _believe
    return Reference()


def _believe(ctl_fd: int) -> Trust:
    del ctl_fd
    return Trust(file_system="any", locks=True)
