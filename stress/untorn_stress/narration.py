"""A held call in words, the same in every run: paths below the root, random parts numbered."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re

from untorn_stress.gate import locks
from untorn_stress.gate.calls import AT_REMOVEDIR, CallKind
from untorn_stress.gate.worker import Held
from untorn_stress.names import Names

_OPEN_FLAGS = (
    (os.O_CREAT, "CREAT"), (os.O_EXCL, "EXCL"), (os.O_TRUNC, "TRUNC"), (os.O_APPEND, "APPEND"),
)  # fmt: skip
_LOCKS = {fcntl.LOCK_SH: "SH", fcntl.LOCK_EX: "EX", fcntl.LOCK_UN: "UN"}

_DOOR = re.compile(r"/proc/[0-9]+/fd/[0-9]+(?![0-9])")
"""Where a path begins at a descriptor: the number of its process is another in each run."""


class Narrator:
    """Tells the steps of one run."""

    def __init__(self, root: str, names: Names) -> None:
        self._root = root
        self._names = names

    def tell(self, held: Held) -> str:
        """The arguments of a held call."""
        call = held.call
        paths = [self._path(held, each.dirfd, each.path) for each in call.paths]
        fds = [self._descriptor(held, fd) for fd in call.fds]
        named = [" -> ".join(paths)] if paths else []
        return " ".join([*self._before(held), *named, *fds, *self._after(held)])

    def _before(self, held: Held) -> list[str]:
        if held.call.kind in (CallKind.FLOCK, CallKind.FCNTL) and locks.is_ours(held.call):
            return [_LOCKS[locks.operation_of(held.call, held.target)]]
        return []

    def _after(self, held: Held) -> list[str]:
        call = held.call
        if call.kind is CallKind.OPEN:
            words = ["WRITE"] if call.writes else []
            return words + [word for flag, word in _OPEN_FLAGS if call.flags & flag]
        if call.name == "renameat2" and call.flags & 1:
            return ["NOREPLACE"]
        if call.kind is CallKind.UNLINK and (call.name == "rmdir" or call.flags & AT_REMOVEDIR):
            return ["DIR"]
        return []

    def _path(self, held: Held, dirfd: int, path: bytes) -> str:
        text = os.fsdecode(path)
        if text[:1] != "/":
            try:
                text = os.path.join(held.target.link(dirfd), text)
            except OSError:
                text = f"?/{text}"
        elif door := _DOOR.match(text):
            with contextlib.suppress(OSError):
                text = os.readlink(door[0]) + text[door.end() :]
        return self._below(os.path.normpath(text))

    def _descriptor(self, held: Held, fd: int) -> str:
        try:
            return self._below(held.target.link(fd))
        except OSError:
            return "?"

    def _below(self, path: str) -> str:
        gone = path.endswith(" (deleted)")
        path = path.removesuffix(" (deleted)")
        if path == self._root:
            return "."
        if not path.startswith(self._root + "/"):
            return path
        told = self._names.canonical(path[len(self._root) + 1 :])
        return f"{told} (gone)" if gone else told
