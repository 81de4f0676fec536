"""What is in each clip, asked once a process and state of the clip."""

from __future__ import annotations

import functools

from untorn import clip
from untorn.clip import ClipInfo, SourceState

_MAX_REMEMBERED = 1024


@functools.lru_cache(maxsize=_MAX_REMEMBERED)
def probe(path: str, state: SourceState) -> ClipInfo:
    """What is in the clip at the real path `path`, which was in `state` just now.

    Raises ClipError if it is no video, and SourceChangedError if it is in another state by now:
    what was found must not be remembered for bytes that it may not be of. No error is remembered.
    """
    info = clip.probe(path)
    clip.require_unchanged(path, state)
    return info
