"""The root is deleted while it is in use, and made again a moment later."""

from __future__ import annotations

import os
import shutil
import time
from random import Random
from typing import Final

from untorn_conformance.history import Excuse

from untorn_stress.storm.nemesis.protocol import Blow, Field, after

_MOST_S: Final = 0.5


class RootRemoved:
    """``rm -rf`` of the root, as far as it comes: workers make new files meanwhile."""

    name: Final = "root-removed"
    lasts_s: Final = 0.5
    excuses: Final = (Excuse.REMOVES, Excuse.REFUSES)

    def cannot(self, field: Field) -> str:
        """It always can."""
        del field
        return ""

    def strike(self, field: Field, dice: Random) -> Blow | None:
        """Remove; it bit if the root was gone, or is another directory."""
        begin_ns = time.monotonic_ns()
        before = _identity(field)
        aside = field.root.with_name(f"removed-{dice.getrandbits(32):08x}")
        moved = dice.random() < 0.5  # noqa: PLR2004
        if moved:
            # At once, as by mv: workers go on in a directory that has another name.
            os.rename(field.root, aside)
        else:
            shutil.rmtree(field.root, ignore_errors=True)  # who makes files there makes it fail
        after_it = _identity(field)
        lasts = after(dice.random() * _MOST_S)

        def heal() -> None:
            field.make_root()
            shutil.rmtree(aside, ignore_errors=True)  # workers may still write there; see below

        return Blow(
            name=self.name,
            excuses=self.excuses,
            begin_ns=begin_ns,
            over=lasts,
            heal=heal,
            proof=lambda: before is not None and before != after_it,
            detail="renamed away" if moved else "removed in place",
        )


def _identity(field: Field) -> tuple[int, int] | None:
    try:
        status = os.stat(field.root)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
