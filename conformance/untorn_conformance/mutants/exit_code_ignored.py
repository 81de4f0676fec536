"""The reference that does not ask how the decoder ended. Seeded bug: its exit code is ignored."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final

from untorn import extraction
from untorn.cancel import Cancel
from untorn.errors import DecoderError
from untorn.extraction import Progress

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"D5"})
MAY_FAIL: Final = frozenset({"D2"})
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_degrade_extract.py",
        id="D5.a_decoder_killed_at_its_end_publishes_nothing",
        says="DID NOT RAISE",
    ),
)

_run = extraction.run


def factory() -> Reference:
    """The mutant, in a process of its own."""
    extraction.run = _run_somehow
    return Reference()


def _run_somehow(
    arguments: Sequence[str],
    directory: str,
    *,
    keep_fds: Sequence[int] = (),
    expected: int | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> None:
    with contextlib.suppress(DecoderError):
        _run(
            arguments,
            directory,
            keep_fds=keep_fds,
            expected=expected,
            progress=progress,
            cancel=cancel,
        )
