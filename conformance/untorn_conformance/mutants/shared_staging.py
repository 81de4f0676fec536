"""The reference with one staging directory a key. Seeded bug: its name has no random part.

Writers of one key share it, and the second finds the frames of the first where its own should go.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

from untorn import staging
from untorn.root import Root
from untorn.staging import Staging

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"P6"})
MAY_FAIL: Final = frozenset({"P1", "P2", "P3", "P5"})
SHOWN_BY: Final[Shown] = (
    Case(file="test_publish.py", id="P6.stagings_never_collide", says="twice: 'frame_"),
)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    staging.make = _make
    return Reference()


def _make(root: Root, key: str) -> Staging:
    name = f"{key}.{'0' * 32}"
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=root.staging_fd)
    own = staging._lock_own(root, name)
    if own is None:
        raise FileNotFoundError(2, "staging went as it was made", root.path)
    return Staging(root, key, name, own)
