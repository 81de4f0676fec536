"""A shared, content-addressed cache of extracted video frames that never serves a torn entry.

from untorn import Cache, Request

with Cache.open() as cache, cache.extract(Request(clip="a.mp4", fps=30)) as frames:
for path in frames.paths: ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from untorn.breakdown import Item, Origin, Phases, Result
from untorn.cache import Cache, Stats
from untorn.config import Durability, Settings
from untorn.errors import (
    ClipError,
    ConfigError,
    DecoderError,
    ExhaustedError,
    InvalidEntryError,
    KeyInputError,
    RootRefusedError,
    SourceChangedError,
    UntornError,
)
from untorn.frames import EvictedError, Frames
from untorn.key import FrameFormat, KeyInputs, SourceIdentity, compute_key, derive_key
from untorn.outcome import Collected, Delivery, Failure, Miss, MissReason, Skipped
from untorn.writing import StagingArea

if TYPE_CHECKING:
    from untorn.request import Identity, Request
    from untorn.transform import Transform

__version__ = "0.1.0"

__all__ = [
    "Cache",
    "ClipError",
    "Collected",
    "ConfigError",
    "DecoderError",
    "Delivery",
    "Durability",
    "EvictedError",
    "ExhaustedError",
    "Failure",
    "FrameFormat",
    "Frames",
    "Identity",
    "InvalidEntryError",
    "Item",
    "KeyInputError",
    "KeyInputs",
    "Miss",
    "MissReason",
    "Origin",
    "Phases",
    "Request",
    "Result",
    "RootRefusedError",
    "Settings",
    "Skipped",
    "SourceChangedError",
    "SourceIdentity",
    "StagingArea",
    "Stats",
    "Transform",
    "UntornError",
    "compute_key",
    "derive_key",
]


def __getattr__(name: str) -> Any:
    """What a request is made of, on first use: it imports PyAV, which a mere lookup needs not."""
    if name in ("Request", "Identity"):
        from untorn import request  # noqa: PLC0415

        return getattr(request, name)
    if name == "Transform":
        from untorn import transform  # noqa: PLC0415

        return transform.Transform
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
