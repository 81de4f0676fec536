"""Removing a directory in place: which of its names goes first.

Rule 1: nothing is set aside, so whoever looks sees each name vanish by itself.
Rule 2: the order decides what a death amid a removal leaves behind. The sentinel's name sorts
        before every frame's: sorted, it goes first and leaves frames without it; reversed, it goes
        last and leaves it with too few frames.
Rule 3: what somebody else has removed is removed. Any other failure ends the removal where it is.

The seed's runtime lists sorted (libuv's scandir), asks for each name's status before it unlinks it,
and tries rmdir before it lists. What changes nothing is left out; the calls that remove are the
same, one for one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import StrEnum


class DeletionOrder(StrEnum):
    """The order in which the names of a directory are removed."""

    SORTED = "sorted"
    REVERSED = "reversed"
    AS_LISTED = "as-listed"

    def arrange(self, listed: Sequence[str]) -> list[str]:
        """Put names, as the file system listed them, into the order of their removal."""
        if self is DeletionOrder.AS_LISTED:
            return list(listed)
        return sorted(listed, reverse=self is DeletionOrder.REVERSED)


def remove_tree(path: str, order: DeletionOrder) -> None:
    """Remove a directory with all that is in it, name by name.

    Raises the OSError of the first call that fails, unless the thing was already gone.
    """
    try:
        for name in order.arrange(os.listdir(path)):
            _remove(os.path.join(path, name), order)
        os.rmdir(path)
    except FileNotFoundError:
        return


def _remove(path: str, order: DeletionOrder) -> None:
    try:
        os.unlink(path)
    except IsADirectoryError:
        remove_tree(path, order)
    except FileNotFoundError:
        return
