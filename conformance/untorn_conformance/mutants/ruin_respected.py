"""The reference with too much patience. Seeded bug: an entry without a manifest is never repaired.

It is taken for the work of somebody who is at it still; nobody is.
"""

from __future__ import annotations

from typing import Final

from untorn import publish
from untorn.lookup import Policy
from untorn.outcome import Failure, Miss, MissReason, Step, UnpublishedReason
from untorn.root import Root

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"T3"})
MAY_FAIL: Final = frozenset({"P4", "L2", "C2", "C4"})
SHOWN_BY: Final[Shown] = (
    Case(file="test_third_party.py", id="T3.an_emptied_entry_recovers", says="busy"),
)

_repair = publish._repair


def factory() -> Reference:
    """The mutant, in a process of its own."""
    publish._repair = _wait_for_its_writer
    return Reference()


def _wait_for_its_writer(root: Root, key: str, found: Miss, policy: Policy) -> Failure | bool:
    if found.reason is MissReason.INCOMPLETE:
        return Failure(reason=UnpublishedReason.BUSY, step=Step.REPAIR)
    return _repair(root, key, found, policy)
