"""What writers write in a storm: frames whose every block says whose it is.

Rule 1: a version is one attempt of one process at one key; its frames are a function of its name,
        so that nothing has to be kept to make them again.
Rule 2: each block carries key, version, index, count, length and a checksum: a file that is torn,
        or mixed of several writers' blocks, says so by itself.
Rule 3: digests of frames are known to the driver alone: bytes that match none were never written.

Source: "recoverability" of Kingsbury and Alvaro, Elle (VLDB 2020): a read names its write.
"""

from __future__ import annotations

import hashlib
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from untorn_conformance.history import Seen

BLOCK_BYTES: Final = 512
_STAMP: Final = re.compile(
    rb"untorn key=(?P<key>\S+) version=(?P<version>\S+) frame=(?P<index>\d+)/(?P<count>\d+)"
    rb" block=(?P<block>\d+)/(?P<blocks>\d+) length=(?P<length>\d+) sum=(?P<sum>[0-9a-f]{8}) \.*\n"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """One attempt at one key: ``name`` is the process' name, a slash, and how many it made."""

    key: str
    name: str
    sizes: tuple[int, ...]

    def frames(self) -> list[bytes]:
        """Its frames in order; each a multiple of BLOCK_BYTES long."""
        return [self._frame(index) for index in range(len(self.sizes))]

    def _frame(self, index: int) -> bytes:
        length = self.sizes[index]
        assert length > 0, "a frame has bytes"
        assert length % BLOCK_BYTES == 0, "a frame is made of whole blocks"
        blocks = length // BLOCK_BYTES
        start = f"untorn key={self.key} version={self.name} frame={index}/{len(self.sizes)} block="
        end = f"/{blocks} length={length} sum="
        return b"".join(_block(f"{start}{number}{end}") for number in range(blocks))


def _block(stamp: str) -> bytes:
    text = stamp.encode("ascii")
    line = b"%s%08x " % (text, zlib.crc32(text))
    assert len(line) < BLOCK_BYTES, line
    return line.ljust(BLOCK_BYTES - 1, b".") + b"\n"


class Provenance:
    """Whose bytes a digest is: of the versions of this round, of the last, and of those kept."""

    def __init__(self) -> None:
        self._of_round: dict[str, Seen] = {}
        self._before: dict[str, Seen] = {}

    def __len__(self) -> int:
        return len(self._of_round) + len(self._before)

    def enter(self, version: Version, frames: Iterable[bytes]) -> None:
        """Know a version's frames from now on."""
        for index, frame in enumerate(frames):
            seen = Seen(key=version.key, version=version.name, index=index)
            self._of_round[hashlib.sha256(frame).hexdigest()] = seen

    def whose(self, sha256: str) -> Seen | None:
        """The frame of this digest; None for bytes that nobody wrote."""
        return self._of_round.get(sha256) or self._before.get(sha256)

    def next_round(self, present: Iterable[str]) -> None:
        """Forget what is neither of the round that ends nor ``present`` after it."""
        kept = set(present)
        was = {**self._before, **self._of_round}
        self._before = {
            sha: seen for sha, seen in was.items() if seen.version in kept or sha in self._of_round
        }
        self._of_round = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspected:
    """What a file's own blocks say: frames by how many blocks are theirs; ``foreign`` says less."""

    blocks: Counter[tuple[str, str, int]]
    foreign: int
    length: int
    said_length: int

    def __str__(self) -> str:
        parts = [
            f"{count} blocks of frame {index} of {version} of {key}"
            for (key, version, index), count in self.blocks.most_common(3)
        ]
        if self.foreign:
            parts.append(f"{self.foreign} blocks that nobody stamped")
        if self.said_length not in (-1, self.length):
            parts.append(f"{self.length} bytes where {self.said_length} were stamped")
        return "; ".join(parts) or f"{self.length} bytes without a stamp"


def inspect(content: bytes) -> Inspected:
    """Read the stamps of a file's blocks."""
    found: Counter[tuple[str, str, int]] = Counter()
    foreign, said = 0, -1
    for start in range(0, len(content), BLOCK_BYTES):
        match = _STAMP.fullmatch(content[start : start + BLOCK_BYTES])
        if match is None or zlib.crc32(match.string[: match.start("sum")]) != int(match["sum"], 16):
            foreign += 1
            continue
        found[match["key"].decode(), match["version"].decode(), int(match["index"])] += 1
        said = int(match["length"])
    return Inspected(blocks=found, foreign=foreign, length=len(content), said_length=said)


def found_on_disk(root: Path, sha256: str) -> str:
    """Whose blocks are in a file with the bytes that were read, if one is still there."""
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            content = _content(path)
            if hashlib.sha256(content).hexdigest() == sha256:
                return f"{os.path.relpath(path, root)} holds {inspect(content)}"
    return "no file below the root has these bytes any more"


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, PermissionError) as error:
        return str(error).encode()  # gone meanwhile: it has no digest that was read
