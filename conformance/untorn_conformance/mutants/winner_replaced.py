"""The reference whose last writer wins. Seeded bug: what is in the place goes, whole or not."""

from __future__ import annotations

import os
from typing import Final

from untorn import layout, publish
from untorn.staging import Staging
from untorn.trash import delete

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"P2", "P3"})
MAY_FAIL: Final = frozenset({"O1", "R1", "R4", "P1", "C1"})
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_publish.py", id="P2.one_is_told_published_after_each_removal", says="Published("
    ),
    Case(file="test_publish.py", id="P3.losing_writer_leaves_the_winner_alone", says="v1/"),
)

_rename = publish._rename


def factory() -> Reference:
    """The mutant, in a process of its own."""
    publish._rename = _clear_and_rename
    return Reference()


def _clear_and_rename(staging: Staging) -> OSError | None:
    refusal = _rename(staging)
    if refusal is None:
        return None
    root, target = staging.root, layout.trash_name(staging.key)
    try:
        os.rename(staging.key, target, src_dir_fd=root.entries_fd, dst_dir_fd=root.trash_fd)
    except OSError:
        return refusal
    delete(root.trash_fd, target)
    return _rename(staging)
