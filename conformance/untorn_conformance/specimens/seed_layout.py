"""Every name that the seed's cache has on disk, and what it reads from names alone.

    root/hfcache-v3-<16 hex of the key's SHA-256>/   an entry: frame_* and the sentinel
    root/<entry>.partial-<pid>-<8 hex>/              a writer's unpublished work

Facts: heygen-com/hyperframes at PR #1901, extractionCache.ts (its constants, ``cacheEntryDirName``,
``partialCacheEntryDir``, ``rehydrateCacheEntry``) and config.ts (the default root).
"""

from __future__ import annotations

import hashlib
import os
from typing import Final

SENTINEL: Final = ".hf-complete"

_ENTRY_PREFIX: Final = "hfcache-v3-"
_ANY_GENERATION: Final = "hfcache-v"
_PARTIAL_MARK: Final = ".partial-"
_FRAME_PREFIX: Final = "frame_"


def default_root() -> str:
    """Where the cache is when nobody says: a directory of the user's own among temporary files."""
    temporary = next(filter(None, map(os.environ.get, ("TMPDIR", "TMP", "TEMP"))), "/tmp")  # noqa: S108
    return os.path.join(temporary, f"hyperframes-extract-cache-{os.getuid()}")


def entry_path(root: str, key: str) -> str:
    """Where the entry of a key is. Only 64 bits of the key's digest are in its name."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    return os.path.join(root, _ENTRY_PREFIX + digest[:16])


def new_partial_path(entry: str) -> str:
    """A fresh path for this process' work on an entry; nothing is made there."""
    return f"{entry}{_PARTIAL_MARK}{os.getpid()}-{os.urandom(4).hex()}"


def is_frame(name: str) -> bool:
    """Whether an entry hands out a file of this name."""
    return name.startswith(_FRAME_PREFIX) and os.sep not in name


def is_partial(name: str) -> bool:
    """Whether a name in the root is that of unpublished work."""
    return _PARTIAL_MARK in name


def is_swept(name: str) -> bool:
    """Whether a name in the root is the sweep's business: an entry of any generation, or work."""
    return name.startswith(_ANY_GENERATION) or is_partial(name)


def list_frames(directory: str) -> tuple[str, ...]:
    """The frames' names in lexicographic order. Raises the OSError of the listing."""
    return tuple(sorted(filter(is_frame, os.listdir(directory))))
