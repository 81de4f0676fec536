"""The reference that trusts its source. Seeded bug: nobody sees that the clip changes."""

from __future__ import annotations

from typing import Final

from untorn import clip
from untorn.clip import SourceState

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"K3"})
MAY_FAIL: Final[frozenset[str]] = frozenset()
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_key.py",
        id="K3.a_clip_that_changes_is_not_published[append]",
        says="ExtractOutcome.HIT",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    clip.require_unchanged = _trust
    return Reference()


def _trust(path: str, before: SourceState) -> None:
    del path, before
