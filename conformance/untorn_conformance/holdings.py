"""What the cache holds on disk: which frames, and how many bytes where.

Sizes are those of regular files, link by link. What a backend counts as an entry may be more (an
index, a manifest) but never less than its frames, so that a case can say "between". Payloads are so
large beside the rest that half a payload of slack in a budget decides how many entries stay.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from untorn_stress.worker import Worker

from untorn_conformance import moves, probe
from untorn_conformance.backend import BytesMeaning
from untorn_conformance.farm import Farm

FRAME_BYTES = 32 * 1024
PAYLOAD_BYTES = 3 * FRAME_BYTES

_BLOCK_BYTES = 512
"""The unit of st_blocks, whatever the file system's own block is (stat(2))."""


def fill(farm: Farm, worker: Worker, labels: str) -> None:
    """Publish one entry for each letter, all of one payload."""
    for label in labels:
        moves.put(farm, worker, label, payload(label))


def payload(label: str) -> dict[str, bytes]:
    """The frames of a letter's entry."""
    return moves.frames(label, size_bytes=FRAME_BYTES)


def room_for(entries: int) -> int:
    """A budget in bytes that so many entries are within, and one more is not."""
    return entries * PAYLOAD_BYTES + PAYLOAD_BYTES // 2


def kept(farm: Farm, labels: str) -> str:
    """The letters whose frames are still on disk; looking changes no recency."""
    tree = farm.tree()
    return "".join(label for label in labels if is_present(tree, payload(label)))


def is_present(tree: probe.Snapshot, contents: Mapping[str, bytes]) -> bool:
    """Whether any of the frames is a file of the tree; digests are all that is compared."""
    there = {entry.sha256 for entry in tree.files().values()}
    return not there.isdisjoint(moves.digests(contents.values()))


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
