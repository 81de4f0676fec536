"""How much of the disk a campaign takes, and what goes when that is too much.

Rule 1: what a shard with findings left stays, whatever it takes; so does what is not understood.
        A canary's findings are none: they are known.
Rule 2: of shards without findings the oldest go first, those of earlier campaigns before all, and
        of each everything but storm.json, from which plots are drawn; then that, too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from untorn_stress import tree_removal
from untorn_stress.campaign.task import STORM, document_of

SUMMARY: Final = "campaign.json"
EARLIER: Final = "earlier"
SHARDS: Final = "shards"


@dataclass(frozen=True, kw_only=True, slots=True)
class Removed:
    """What was removed from a shard's directory; ``number`` is 0 for an earlier campaign's."""

    number: int
    directory: str
    bytes: int


def parse_size(text: str) -> int:
    """Read a number of MiB or GiB, such as 500MiB; returns bytes. Raises ValueError."""
    match = re.fullmatch(r"([0-9]{1,7})(MiB|GiB)", text)
    if match is None or int(match[1]) == 0:
        raise ValueError(f"{text!a} is no size; one is written 500MiB or 2GiB")
    return int(match[1]) << (20 if match[2] == "MiB" else 30)


def bytes_below(path: Path) -> int:
    """How many bytes of disk a tree takes; what vanishes meanwhile takes none."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                continue  # a shard that runs here has removed it
    return total


def bytes_of_shards(out: Path) -> int:
    """How many bytes the shards of all campaigns take that were here."""
    return bytes_below(out / SHARDS) + bytes_below(out / EARLIER)


def make_room(
    out: Path, *, limit_bytes: int, passing: Iterable[tuple[int, str]]
) -> Iterator[Removed]:
    """Remove until the directory takes no more than the limit, or nothing is left that may go.

    ``passing`` are number and directory of this campaign's shards without findings, oldest first.
    """
    over = bytes_of_shards(out) - limit_bytes
    candidates = [*_earlier(out), *passing]
    for keep_storm in (True, False):
        for number, directory in candidates:
            if over <= 0:
                return
            freed = _strip(out / directory, keep_storm=keep_storm)
            over -= freed
            if freed:
                yield Removed(number=number, directory=directory, bytes=freed)


def _earlier(out: Path) -> Iterator[tuple[int, str]]:
    """Shards without findings of earlier campaigns, as their campaign.json tells of them."""
    summaries = (out / EARLIER).glob(f"*/{SUMMARY}")
    for summary in sorted(summaries, key=lambda each: each.lstat().st_mtime):
        document = document_of(summary)
        shards = document.get("shards") if isinstance(document, dict) else None
        for each in shards if isinstance(shards, list) else ():
            if isinstance(each, dict) and each.get("findings") == []:
                yield 0, os.path.relpath(summary.parent / str(each.get("directory")), out)


def _strip(directory: Path, *, keep_storm: bool) -> int:
    """Remove what is in a shard's directory, and say how many bytes that took."""
    freed = 0
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return 0
    for name in names:
        if keep_storm and name == STORM:
            continue
        path = directory / name
        status = path.lstat()
        freed += bytes_below(path) if path.is_dir() else status.st_blocks * 512
        tree_removal.remove(str(path), status)
    return freed
