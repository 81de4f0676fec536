"""The manifest: the sealed list that makes an entry verifiable, and the sentinel of its publish.

It is written last inside staging and ends with a newline, so an entry without a whole manifest was
never finished. Three or four lines of ASCII:

    {"v":1,"key":...,"n":frames,"bytes":total,"boot":...,"digest":null or "blake2b-256"}
    names joined by "/"            (no JSON: splitting 120 names costs a fifth of parsing them)
    sizes in bytes, JSON
    digests, JSON                  (only if the header names an algorithm)

Pure: no file is touched here. What is read back is not trusted: `parse` raises ManifestError with
the miss reason that fits.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from untorn.errors import InvalidEntryError
from untorn.layout import GENERATION, frame_number
from untorn.outcome import MissReason

DIGEST = "blake2b-256"
MAX_BYTES = 64 * 1024 * 1024  # a manifest of a million frames is about 30 MB
_TOTAL = re.compile(
    rb'\{"v":%d,"key":"([0-9a-f]{64})","n":[0-9]+,"bytes":([0-9]{1,15}),' % GENERATION
)


class ManifestError(Exception):
    """What is on disk is no manifest of this key; `reason` is the miss that it makes.

    `by_digest` says that only the digests showed it.
    """

    def __init__(self, reason: MissReason, detail: str, *, by_digest: bool = False) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.by_digest = by_digest


class StagedFrame(NamedTuple):
    """One file of an entry: name, st_size in bytes, BLAKE2b-256 if it was digested.

    A tuple, because a publish makes one for each frame and a frozen dataclass takes twice as long.
    """

    name: str
    size: int
    digest: str | None = None


class Manifest(NamedTuple):
    """What an entry holds. `text` is the file; sizes and digests are parsed when asked for.

    A tuple, because every lookup makes one and a frozen dataclass takes three times as long.
    """

    key: str
    names: tuple[str, ...]
    frame_bytes: int
    boot_id: str
    digested: bool
    text: bytes

    @property
    def entry_bytes(self) -> int:
        """st_size of every file of the entry, the manifest included."""
        return self.frame_bytes + len(self.text)

    def sizes(self) -> list[int]:
        """st_size of each frame, in the order of `names`."""
        sizes = _numbers(self.text.split(b"\n")[2], len(self.names))
        if sum(sizes) != self.frame_bytes:
            raise ManifestError(MissReason.CORRUPT, "the manifest's sizes do not fit their total")
        return sizes

    def digests(self) -> list[str]:
        """BLAKE2b-256 of each frame in hexadecimal; empty if the entry was sealed without."""
        if not self.digested:
            return []
        values = _json(self.text.split(b"\n")[3])
        if not isinstance(values, list) or len(values) != len(self.names):
            raise ManifestError(MissReason.CORRUPT, "the digests do not fit the names")
        return [str(value) for value in values]


def order_frames(names: Sequence[str]) -> list[str]:
    """The names in numeric frame order.

    Raises InvalidEntryError for no name at all, a name that is not a frame's, mixed prefixes or
    extensions, a duplicate number or a gap (contract P8, R1).
    """
    if not names:
        raise InvalidEntryError("an entry needs at least one frame")
    in_a_row = _in_a_row(names)
    if in_a_row is not None:
        return in_a_row
    numbered: list[tuple[int, str]] = []
    kinds: set[tuple[str, str]] = set()
    for name in names:
        parts = frame_number(name)
        if parts is None:
            raise InvalidEntryError(f"not the name of a frame: {name!r}")
        prefix, number, extension = parts
        kinds.add((prefix, extension))
        numbered.append((number, name))
    if len(kinds) > 1:
        raise InvalidEntryError(f"frames of several kinds in one entry: {sorted(kinds)}")
    numbered.sort()
    for (before, _), (after, name) in itertools.pairwise(numbered):
        if after == before:
            raise InvalidEntryError(f"frame number {after} is there twice ({name!r})")
        if after != before + 1:
            raise InvalidEntryError(f"frame {before} is followed by {after}: a gap")
    return [name for _, name in numbered]


def _in_a_row(names: Sequence[str]) -> list[str] | None:
    """The names in order if they are what a decoder writes; None leaves the judgement to others.

    That is: all of one width, each the next number. Comparing them with such names takes half the
    time of matching each one, and this is done at every publish.
    """
    first_name = min(names)
    parts = frame_number(first_name)
    if parts is None:
        return None
    prefix, first, extension = parts
    width = len(first_name) - len(prefix) - len(extension)
    end = first + len(names)
    if end > 10**width:
        return None
    wanted = [f"{prefix}{str(number).zfill(width)}{extension}" for number in range(first, end)]
    return wanted if set(wanted) == set(names) else None


def render(key: str, frames: Sequence[tuple[str, int, str | None]], boot_id: str) -> bytes:
    """The manifest's bytes, of frames as in StagedFrame; digests if every frame has one."""
    names, sizes, digests = zip(*frames, strict=True)
    digested = None not in digests
    header = {
        "v": GENERATION,
        "key": key,
        "n": len(frames),
        "bytes": sum(sizes),
        "boot": boot_id,
        "digest": DIGEST if digested else None,
    }
    lines = [
        json.dumps(header, separators=(",", ":")),
        "/".join(names),
        json.dumps(sizes, separators=(",", ":")),
    ]
    if digested:
        lines.append(json.dumps(digests, separators=(",", ":")))
    return ("\n".join(lines) + "\n").encode("ascii")


def parse(text: bytes, key: str) -> Manifest:
    """The manifest of `key` in `text`; ManifestError names the miss otherwise.

    The header and the names are checked here, on every lookup; sizes when they are asked for.
    """
    if not text.endswith(b"\n"):
        raise ManifestError(MissReason.INCOMPLETE, "the manifest has no end")
    lines = text.split(b"\n")
    header = _json(lines[0])
    if not isinstance(header, dict):
        raise ManifestError(MissReason.CORRUPT, "the manifest's first line is not an object")
    if header.get("v") != GENERATION:
        raise ManifestError(MissReason.STALE_GENERATION, f"generation {header.get('v')!r}")
    if header.get("key") != key:
        raise ManifestError(MissReason.CORRUPT, "the entry was sealed under another key")
    digested = header.get("digest") == DIGEST
    if len(lines) != (5 if digested else 4):
        raise ManifestError(MissReason.CORRUPT, "the manifest has a line too many or too few")
    names = _names(lines[1])
    total, boot_id = header.get("bytes"), header.get("boot")
    if not isinstance(total, int) or not isinstance(boot_id, str):
        raise ManifestError(MissReason.CORRUPT, "the manifest's header lacks its total or its boot")
    if len(names) != header.get("n") or total < len(names):
        raise ManifestError(MissReason.CORRUPT, "the manifest's header does not fit its lines")
    return Manifest(key, names, total, boot_id, digested, text)


def frame_bytes_said(text: bytes, key: str) -> int | None:
    """What a manifest of `key` that begins so says that its frames weigh, in bytes.

    None where it begins otherwise. A sweep asks this of every entry: parsing them takes far longer.
    """
    found = _TOTAL.match(text)
    if found is None or found[1] != key.encode("ascii"):
        return None
    return int(found[2])


def digest_file(read: Callable[[int], bytes]) -> str:
    """BLAKE2b-256 of everything that `read(size)` returns until it is empty, in hexadecimal."""
    digest = hashlib.blake2b(digest_size=32)
    while chunk := read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def _json(line: bytes) -> Any:
    try:
        return json.loads(line.decode("ascii"))
    except (ValueError, RecursionError) as error:  # the latter: brackets nested without end
        raise ManifestError(MissReason.CORRUPT, f"the manifest is not JSON: {error}") from None


def _names(line: bytes) -> tuple[str, ...]:
    try:
        text = line.decode("ascii")
    except UnicodeDecodeError as error:
        raise ManifestError(MissReason.CORRUPT, "the manifest's names are not ASCII") from error
    names = tuple(text.split("/"))
    if not all(names) or ".." in names or "\0" in text:
        raise ManifestError(MissReason.CORRUPT, "the manifest names a file outside the entry")
    return names


def _numbers(line: bytes, count: int) -> list[int]:
    values = _json(line)
    if (
        not isinstance(values, list)
        or len(values) != count
        or not all(isinstance(value, int) and value > 0 for value in values)
    ):
        raise ManifestError(MissReason.CORRUPT, "the manifest's sizes do not fit its names")
    return values
