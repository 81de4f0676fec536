"""The demo cache, which takes a lock by fcntl(2) before it collects, and believes the answer."""

from __future__ import annotations

import fcntl

from untorn_conformance.backend import Collected
from untorn_conformance.meta.demo.directory import DirectoryCache


class RecordLockedCache(DirectoryCache):
    """Such a lock belongs to its process: the gate leaves it to the kernel."""

    def collect(
        self, *, budget_bytes: int | None, min_age_s: float | None, dry_run: bool
    ) -> Collected:
        """As the demo does, under the lock."""
        with open(self._root / "lock", "w", encoding="ascii") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            return super().collect(budget_bytes=budget_bytes, min_age_s=min_age_s, dry_run=dry_run)
