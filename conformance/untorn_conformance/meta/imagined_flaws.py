"""What is broken in an imagined cache, and what strikes it then."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from untorn_conformance.history import Excuse


class Flaw(StrEnum):
    """One promise that is broken; the value begins with the checker that must see it."""

    MIXES_VERSIONS = "H1"
    SHOWS_STAGING = "H2"
    BRINGS_BACK = "H3"
    IGNORES_LEASES = "H4"
    MISSES = "H5"
    REPLACES = "H6"
    IGNORES_AGES = "H7"
    COUNTS_TWICE = "H8"
    LEAVES_DEBRIS = "H9"
    RAISES = "H10"
    REFUSES_FOR_NOTHING = "H10 refuses"
    IS_BUSY_FOR_NOTHING = "H10 busy"
    SAYS_NONSENSE = "H10 nonsense"
    HANGS = "H10 hangs"
    BELIEVES_CLOCKS = "H11"
    TAKES_IN_DRY_RUN = "H7 G13 in a row"
    COUNTS_TOO_FEW = "H7 G7 in a row: entries"
    FREES_TOO_LITTLE = "H7 G7 in a row: bytes"
    KEEPS_QUIET = "H7 G2 in a row: unsaid"
    HIDES_WHAT_PROTECTS = "H7 G2 in a row: unprotected"
    TAKES_WITHIN_BUDGET = "H7 G11 in a row"
    TAKES_THE_YOUNG = "H7 G3 in a row"
    TAKES_THE_LATEST = "H7 G1 in a row"
    TAKES_THE_FUTURE = "H11 G11 in a row"

    @property
    def checker(self) -> str:
        """The checker that must see it."""
        return self.value.partition(" ")[0]

    @property
    def row(self) -> str:
        """The requirement that collects alone show to be broken, empty for other flaws."""
        return self.value.split()[1] if " in a row" in self.value else ""


REFUSES: Final[dict[Flaw | None, str]] = {
    Flaw.REFUSES_FOR_NOTHING: "EIO",
    Flaw.IS_BUSY_FOR_NOTHING: "busy",
}
"""What a cache with a flaw says when it refuses a publish though nothing failed."""

KINDS_FOR: Final = {
    Flaw.RAISES: [Excuse.REFUSES],
    Flaw.BELIEVES_CLOCKS: [Excuse.AGES],
}
"""What strikes a cache with a flaw: only what shows it."""
