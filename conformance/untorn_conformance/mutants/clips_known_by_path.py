"""The reference that knows its clips. Seeded bug: its memory of them asks for their paths alone."""

from __future__ import annotations

from typing import Final

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"K3"})
MAY_FAIL: Final[frozenset[str]] = frozenset()
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_key.py",
        id="K3.a_clip_that_became_another_is_rendered_as_it_is",
        says="fell short",
    ),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    from untorn import memory  # noqa: PLC0415 - imports PyAV
    from untorn.clip import SourceState  # noqa: PLC0415

    about = memory.about
    whenever = SourceState(device=0, inode=0, size=0, mtime_ns=0, ctime_ns=0)

    def by_path(path: str, state: SourceState) -> bytes | None:
        del state
        return about(path, whenever)

    def always(state: SourceState, now_ns: int) -> bool:
        del state, now_ns
        return True

    memory.about, memory.is_settled = by_path, always
    return Reference()
