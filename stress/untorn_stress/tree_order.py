"""The order in which a directory lists its names, where the file system lets us choose it.

tmpfs lists the newest name first, btrfs and small directories of xfs the oldest: a collector that
walks in that order takes other steps after a name was removed and made again. A rename makes a name
new and keeps its inode. ext4 lists by a hash of the name: nothing to choose, and nothing to mend.
"""

from __future__ import annotations

import os
from collections.abc import Sequence


def reorder(directory: str, wanted: Sequence[str]) -> bool:
    """Bring the directory's listing into the wanted order; tell whether that was possible.

    ``wanted`` are all its names. The directory must be writable and its mtime is lost, as are the
    ctimes of what is in it. Raises OSError as it comes.
    """
    if os.listdir(directory) == list(wanted):
        return True
    aside = _unused_name(wanted)
    for attempt in (wanted[::-1], wanted):
        for name in attempt:
            os.rename(os.path.join(directory, name), os.path.join(directory, aside))
            os.rename(os.path.join(directory, aside), os.path.join(directory, name))
        if os.listdir(directory) == list(wanted):
            return True
    return False


def _unused_name(taken: Sequence[str]) -> str:
    name = ".aside"
    while name in taken:
        name += "."
    return name
