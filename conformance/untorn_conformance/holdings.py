"""What the cache holds on disk: which frames, and how many bytes where.

Sizes are those of regular files, link by link. What a backend counts as an entry may be more (an
index, a manifest) but never less than its frames, so that a case can say "between".
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from untorn_conformance import probe
from untorn_conformance.backend import BytesMeaning
from untorn_conformance.farm import Farm
from untorn_conformance.moves import digests

_BLOCK_BYTES = 512
"""The unit of st_blocks, whatever the file system's own block is (stat(2))."""


def is_present(tree: probe.Snapshot, contents: Mapping[str, bytes]) -> bool:
    """Whether any of the frames is a file of the tree; digests are all that is compared."""
    there = {entry.sha256 for entry in tree.files().values()}
    return not there.isdisjoint(digests(contents.values()))


def weights(farm: Farm) -> dict[str, int]:
    """Bytes of each regular file below the root, by path, in the meaning that hello declares."""
    weighed = {}
    for path in farm.tree().files():
        status = os.lstat(farm.root / path)
        allocated = status.st_blocks * _BLOCK_BYTES
        is_size = farm.hello.limits.bytes_meaning is BytesMeaning.ST_SIZE
        weighed[path] = status.st_size if is_size else allocated
    return weighed


def lost_bytes(before: Mapping[str, int], after: Mapping[str, int]) -> int:
    """Bytes of the files that left between two weighings."""
    return sum(size for path, size in before.items() if path not in after)
