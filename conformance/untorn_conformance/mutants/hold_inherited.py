"""The reference that forgets forks. Seeded bug: a forked child keeps what its parent held."""

from __future__ import annotations

from typing import Final
from weakref import WeakSet

from untorn import lease

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"E2"})
MAY_FAIL: Final = frozenset({"R4"})
SHOWN_BY: Final[Shown] = (
    Case(file="test_resources.py", id="E2.no_child_keeps_what_was_released[fork]", says="not True"),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    lease._claims = _Nothing()
    return Reference()


class _Nothing(WeakSet[lease.Claim]):
    def add(self, item: lease.Claim) -> None:
        """Forget it at once."""
