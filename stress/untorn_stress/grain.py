"""How fine the steps of a run are."""

from __future__ import annotations

from enum import StrEnum


class Grain(StrEnum):
    """How fine the steps are: calls on names and locks only, or on data as well.

    Of data are reads, writes, and the close of what was opened to be written, which tells what
    writing came to.
    """

    METADATA = "metadata"
    DATA = "data"
