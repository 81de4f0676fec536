"""The reference that adopts at a glance. Seeded bug: a winner's files are not looked at.

Its manifest is enough, so what an outsider has harmed without a trace is handed to the loser.
"""

from __future__ import annotations

from typing import Final

from untorn import publish
from untorn.lookup import Check, Policy

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"T1"})
MAY_FAIL: Final = frozenset({"P4", "T2"})
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_third_party.py",
        id="T1.a_damaged_entry_is_never_adopted[truncated-unnoticed]",
        says="Adopted(",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    vars(publish)["Policy"] = _hasty
    return Reference()


def _hasty(
    *, now_s: float, resolution_s: float, check: Check, verified: set[tuple[str, int]]
) -> Policy:
    del check
    return Policy(now_s=now_s, resolution_s=resolution_s, check=Check.MANIFEST, verified=verified)
