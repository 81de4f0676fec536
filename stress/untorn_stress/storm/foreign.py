"""What is not the cache's, in its root and beside it: files, folders like entries, a link out.

Rule 1: it is the workers' own, so that nothing but the cache itself keeps them from it (G5): also
        what could be made, but not filled, for want of room.
Rule 2: nemeses leave it alone, or have it planted again: what is then missing a worker has taken.
Rule 3: what could not be planted (no room, no permission just then) is not judged.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_LINK: Final = "link-out"
_FILES: Final[Mapping[str, bytes]] = {
    "animated-gif/frame_00001.png": b"somebody's animation",
    "photos.partial-2019/frame_00001.png": b"somebody's holidays",
    "stranger.lock": b"somebody's lock",
}
_PRECIOUS: Final = b"what a link points to"

NAMES: Final = frozenset({_LINK, *(path.partition("/")[0] for path in _FILES)})
"""The names in the root, and beside it, that are foreign."""


@dataclass(slots=True)
class Foreign:
    """What was planted. ``outside`` is where links point to, ``user`` whose all is, if not ours."""

    outside: Path
    user: tuple[int, int] | None
    _planted: dict[str, Path] = field(default_factory=dict)

    def plant(self, places: Mapping[str, Path]) -> None:
        """Put into each of these places, by what they are called, what is not there as it was."""
        for called, place in places.items():
            self._planted.pop(called, None)
            try:
                self._give(self.outside)
                self._put(self.outside / "precious", _PRECIOUS)
                for name, content in _FILES.items():
                    self._put(place / name, content)
                self._link(place / _LINK)
            except OSError:  # a strike hinders us, too: it is not judged until it is there
                continue
            self._planted[called] = place

    def _put(self, path: Path, content: bytes) -> None:
        if _content(path) == content:
            return
        for folder in (path.parent,) if not path.parent.exists() else ():
            folder.mkdir(mode=0o755)
            self._give(folder)
        with path.open("wb") as file:
            self._give(path)
            file.write(content)

    def _link(self, path: Path) -> None:
        if not path.is_symlink():
            path.symlink_to(self.outside)
            self._give(path)

    def _give(self, path: Path) -> None:
        if self.user is not None:
            os.chown(path, *self.user, follow_symlinks=False)

    def harmed(self) -> Iterator[str]:
        """What of it is not as it was planted, in words."""
        if self._planted and _content(self.outside / "precious") != _PRECIOUS:
            yield "what a link out of the root points to"
        for called, place in self._planted.items():
            for name, content in _FILES.items():
                if _content(place / name) != content:
                    yield f"{called}: {name}"
            if not (place / _LINK).is_symlink():
                yield f"{called}: {_LINK}"


def _content(path: Path) -> bytes | None:
    """The bytes of a file; None where there is none to be read."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
