"""What writers write: small files whose bytes say which key, which writer and which frame.

Rule 1: each digest belongs to exactly one (label, writer, index): a read says whose bytes it got.
Rule 2: labels and writers are a closed list: the same bytes in every run, process and replay.
Rule 3: every entry has the same names in the same order; only bytes tell one publish from another.

Source: "recoverability" of Kingsbury and Alvaro, Elle (VLDB 2020): a read names its write.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FRAME_BYTES: Final = 64

LABELS: Final = ("k", "l")
"""The keys of all scenarios, by label."""

NATURAL_WRITER: Final = "w0"
"""Whose entries the natural trees hold."""

HARVEST_WRITER: Final = "wh"
"""Who publishes in the sequential runs whose crash states become initial trees."""

AFTER_WRITER: Final = "wz"
"""Who publishes when a run is over."""

LARGE_WRITER: Final = "wl"
"""Whose frames are larger than everybody else's."""

_LARGE_FRAME_BYTES: Final = 16 * FRAME_BYTES

WRITERS: Final = (NATURAL_WRITER, HARVEST_WRITER, "wA", "wB", "wC", AFTER_WRITER, LARGE_WRITER)
"""Everybody who ever writes: of the workers of a run, worker A is writer ``wA``."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where bytes come from: file ``index`` (from 0) of what ``writer`` writes for ``label``."""

    label: str
    writer: str
    index: int


@dataclass(frozen=True, slots=True)
class RequestFrames:
    """What a request of a clip gives when nothing befalls it: names, and SHA-256 of each frame."""

    names: tuple[str, ...]
    digests: tuple[str, ...]


class Payloads:
    """The files below ``folder``, which is not touched before ``files`` is asked.

    ``frames`` is the number of files of every entry: two are enough for a mixed one, and few keep
    schedules few. ``clip`` is the path of the video that programs extract, where they do.
    ``footage`` is what requests of it give, by ``request``, as far as that is known.
    """

    def __init__(self, folder: Path, *, frames: int = 2, clip: str = "") -> None:
        self.names: Final = tuple(f"frame_{number:05d}.png" for number in range(1, frames + 1))
        self.clip: Final = clip
        self.footage: Final[dict[str, RequestFrames]] = {}
        self._folder = folder
        self._labels = {self.key(label): label for label in LABELS}
        self._origins = {
            _digest(content(label, writer, index)): Origin(label, writer, index)
            for label in LABELS
            for writer in WRITERS
            for index in range(frames)
        }

    def key(self, label: str) -> str:
        """The full key of a label: 64 hexadecimal digits."""
        return hashlib.sha256(f"untorn scenario key {label}".encode()).hexdigest()

    def label(self, key: object) -> str | None:
        """The label of a full key; None for a key that is not ours."""
        return self._labels.get(key) if isinstance(key, str) else None

    def digests(self, label: str, writer: str) -> tuple[str, ...]:
        """The SHA-256 of each file of a writer's entry, in frame order."""
        return tuple(_digest(content(label, writer, each)) for each in range(len(self.names)))

    def origin(self, sha256: str) -> Origin | None:
        """Whose bytes these are; None for bytes that nobody writes."""
        return self._origins.get(sha256)

    def files(self, label: str, writer: str) -> list[dict[str, str]]:
        """Write a writer's files, and return the argument ``files`` of ``stage``.

        The files are readable for every user. Raises OSError, and KeyError for a writer or a label
        that is not listed above.
        """
        if label not in LABELS or writer not in WRITERS:
            raise KeyError(f"no payload of writer {writer!r} for label {label!r}")
        self._folder.mkdir(parents=True, exist_ok=True)
        staged = []
        for index, name in enumerate(self.names):
            path = self._folder / f"{label}.{writer}.{index}"
            if not path.exists():
                path.write_bytes(content(label, writer, index))
                path.chmod(0o644)
            staged.append({"name": name, "path": str(path)})
        return staged

    def other_clip(self) -> str:
        """The path of a second clip: the same video, which lies elsewhere. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"other{Path(self.clip).suffix}"
        if not path.exists():
            shutil.copyfile(self.clip, path)
            path.chmod(0o644)
        return str(path)

    def request(self, inputs: object) -> str:
        """One text for all ways to write the inputs of one extraction; "" for what is none."""
        return json.dumps(dict(inputs), sort_keys=True) if isinstance(inputs, Mapping) else ""


def content(label: str, writer: str, index: int) -> bytes:
    """The bytes of one file: a line that a person can read, filled up to the writer's length."""
    size = frame_bytes(writer)
    line = f"key {label}, writer {writer}, frame {index + 1} "
    assert len(line) < size, line
    return line.ljust(size - 1, ".").encode("ascii") + b"\n"


def frame_bytes(writer: str) -> int:
    """How many bytes each frame of a writer has."""
    return _LARGE_FRAME_BYTES if writer == LARGE_WRITER else FRAME_BYTES


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
