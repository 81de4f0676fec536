"""The reference that never takes busy for an answer. Seeded bug: a publish tries for ever."""

from __future__ import annotations

from typing import Final

from untorn import publish
from untorn.lookup import Policy
from untorn.outcome import Failure, UnpublishedReason
from untorn.publish import Adopted, Published
from untorn.staging import Staging

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"L4"})
MAY_FAIL: Final = frozenset({"C2", "L1", "L2", "L5", "P4", "T1", "T3"})
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_stopped_workers.py",
        id="L4.nobody_spins_or_waits_for_a_stopped_worker[repair-A]",
        says="spins",
    ),
)

_publish = publish.publish


def factory() -> Reference:
    """The mutant, in a process of its own."""
    publish.publish = _publish_at_last
    return Reference()


def _publish_at_last(staging: Staging, policy: Policy) -> Published | Adopted | Failure:
    while True:
        outcome = _publish(staging, policy)
        if not isinstance(outcome, Failure) or outcome.reason is not UnpublishedReason.BUSY:
            return outcome
