"""The root is deleted while it is in use, and made again a moment later.

It is not renamed away: workers would go on in it, and there would be two caches for a while.
"""

from __future__ import annotations

import os
import shutil
import time
from random import Random
from typing import Final

from untorn_conformance.history import Excuse

from untorn_stress.storm.nemesis.protocol import Blow, Field, after

_MOST_S: Final = 0.5
_MOST_TRIES: Final = 50


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
        tries = 0
        while _identity(field) == before is not None and tries < _MOST_TRIES:
            shutil.rmtree(field.root, ignore_errors=True)  # who makes files there makes it fail
            tries += 1
        after_it = _identity(field)
        return Blow(
            name=self.name,
            excuses=self.excuses,
            begin_ns=begin_ns,
            over=after(dice.random() * _MOST_S),
            heal=field.make_root,
            proof=lambda: before is not None and before != after_it,
            detail=f"removed in {tries} tries",
            in_force=tries > 0,
        )


def _identity(field: Field) -> tuple[int, int] | None:
    try:
        status = os.stat(field.root)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
