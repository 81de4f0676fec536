"""The reference that keeps two descriptors. Seeded bug: a hold keeps the manifest open, too."""

from __future__ import annotations

import os
from typing import Final

from untorn import layout, reading
from untorn.access import Access
from untorn.lookup import Leased
from untorn.reading import EntryHold

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"E1"})
MAY_FAIL: Final = frozenset({"O1"})
SHOWN_BY: Final[Shown] = (Case(file="test_resources.py", id="E1.one_descriptor_a_hold", says="<="),)


def factory() -> Reference:
    """The mutant, in a process of its own."""
    vars(reading)["EntryHold"] = _Greedy
    return Reference()


class _Greedy(EntryHold):
    __slots__ = ("_manifest_fd",)

    def __init__(self, leased: Leased, access: Access) -> None:
        super().__init__(leased, access)
        self._manifest_fd = os.open(layout.MANIFEST, os.O_RDONLY, dir_fd=leased.claim.fd)

    def release(self) -> None:
        """End the lease, and close the manifest."""
        if self.fd >= 0:
            os.close(self._manifest_fd)
        super().release()
