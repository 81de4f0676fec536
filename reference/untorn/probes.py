"""What is in each clip, asked once a process and state of it; renders ask their cache first."""

from __future__ import annotations

import time

from untorn import clip, memory
from untorn.access import Access
from untorn.clip import ClipInfo, SourceState
from untorn.memory import Memory
from untorn.request import Identity, Resolved
from untorn.root import Root

_MAX_REMEMBERED = 1024

_known: dict[tuple[str, SourceState], ClipInfo] = {}


def probe(path: str, state: SourceState) -> ClipInfo:
    """What is in the clip at the real path `path`, which was in `state` just now.

    Raises ClipError if it is no video, and SourceChangedError if it is in another state by now:
    what was found must not be remembered for bytes that it may not be of. No error is remembered.
    """
    info = _known.get((path, state))
    if info is None:
        info = clip.probe(path)
        clip.require_unchanged(path, state)
        _know(path, state, info)
    return info


def forget() -> None:
    """Know nothing of any clip, as a new process does."""
    _known.clear()


def _know(path: str, state: SourceState, info: ClipInfo) -> None:
    if len(_known) >= _MAX_REMEMBERED:
        _known.clear()
    _known[path, state] = info


class Probes:
    """The clips of one render: what its cache remembers of them (see memory) is not asked again.

    The memory is read when a clip is new to the process, once, and written in `keep` if any had to
    be opened. It is thrift: where it cannot be read or written, clips are opened, and it is
    counted. A clip that counts by its content is opened: its time stamps are not what to rely on.
    """

    def __init__(self, access: Access, root: Root | None) -> None:
        self._access = access
        self._root = root
        self._memory: Memory | None = None
        self._found: dict[bytes, ClipInfo] = {}

    def of(self, resolved: Resolved) -> ClipInfo:
        """What is in the clip, which was resolved just now; raises as `probe` does."""
        path, state = resolved.path, resolved.state
        if (path, state) in _known or resolved.identity is Identity.CONTENT:
            return probe(path, state)
        about = None if self._root is None else memory.about(path, state)
        if about is None:
            return probe(path, state)
        info = self._remembered().recall(about)
        if info is not None:
            self._access.counters.add("probes_remembered")
            _know(path, state, info)
            return info
        now_ns = time.time_ns()
        info = probe(path, state)
        if memory.is_settled(state, now_ns):
            self._found[about] = info
        return info

    def _remembered(self) -> Memory:
        if self._memory is None:
            self._memory = Memory()
            assert self._root is not None, "where there is no root nobody asks"
            try:
                self._memory = memory.read(self._root.ctl_fd)
            except OSError:
                self._access.counters.add("probes_unremembered")
        return self._memory

    def keep(self) -> None:
        """Have the cache remember what was found."""
        if not self._found or self._root is None:
            return
        try:
            memory.add(self._root.ctl_fd, self._remembered(), self._found)
        except OSError:  # a full root, or one that can only be read
            self._access.counters.add("probes_unremembered")
