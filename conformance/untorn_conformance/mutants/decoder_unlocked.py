"""The reference whose decoder holds nothing. Seeded bug: it inherits no lock on its staging.

So a decoder that outlives its parent is swept from under itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from untorn import extraction
from untorn.cancel import Cancel
from untorn.extraction import Progress

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"C5"})
MAY_FAIL: Final[frozenset[str]] = frozenset()
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_crash.py",
        id="C5.an_orphaned_decoder_is_not_swept_from_under_itself",
        says="frame_",
    ),
)

_run = extraction.run


def factory() -> Reference:
    """The mutant, in a process of its own."""
    extraction.run = _run_alone
    return Reference()


def _run_alone(
    arguments: Sequence[str],
    directory: str,
    *,
    keep_fds: Sequence[int] = (),
    expected: int | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> None:
    del keep_fds
    _run(arguments, directory, expected=expected, progress=progress, cancel=cancel)
