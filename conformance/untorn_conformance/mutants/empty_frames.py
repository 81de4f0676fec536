"""The reference that takes any file for a frame. Seeded bug: an empty one is published."""

from __future__ import annotations

import os
from typing import Final

from untorn import layout, manifest, staging

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"P8"})
MAY_FAIL: Final = frozenset({"D5"})
SHOWN_BY: Final[Shown] = (
    Case(file="test_publish.py", id="P8.no_entry_of_broken_frames[zero_length]", says="Published("),
)

_NOT_FRAMES: Final = (layout.RESERVATION, layout.MANIFEST)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    staging._inspect = _inspect
    return Reference()


def _inspect(fd: int, names: list[str]) -> list[tuple[str, os.stat_result]]:
    frames = manifest.order_frames([name for name in names if name not in _NOT_FRAMES])
    return [(name, os.stat(name, dir_fd=fd, follow_symlinks=False)) for name in frames]
