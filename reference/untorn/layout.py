"""Every name on disk, both ways.

    root/                      0700, owner checked
      CACHEDIR.TAG             tells backup tools to pass by (https://bford.info/cachedir/)
      v1/<key>/                an entry: the manifest and read-only frames
      staging/<key>.<random>/  a writer's private work, locked while it lives
      trash/<name>.<random>    set aside, being deleted
      ctl/                     gc.lock, flight.lock, usage, counters, decoders, spans, probes
                               (never unlinked)

Random parts are 128 bits and never a process id: containers that share a root share process ids.
"""

from __future__ import annotations

import os
import re

GENERATION = 1
ENTRIES = f"v{GENERATION}"
STAGING = "staging"
TRASH = "trash"
CTL = "ctl"
DIRECTORIES = (ENTRIES, STAGING, TRASH, CTL)

MANIFEST = "manifest"
RESERVATION = ".reservation"
CACHEDIR_TAG = "CACHEDIR.TAG"
CACHEDIR_TAG_TEXT = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This directory is a cache made by untorn; every entry in it can be made again.\n"
)

GC_LOCK = "gc.lock"
FLIGHT_LOCK = "flight.lock"
USAGE = "usage"
COUNTERS = "counters"
DECODERS = "decoders"
SPANS = "spans"
PROBES = "probes"

KEY_PATTERN = re.compile(r"[0-9a-f]{64}")
_STAGING_PATTERN = re.compile(r"([0-9a-f]{64})\.[0-9a-f]{32}")
_GENERATION_PATTERN = re.compile(r"v([0-9]{1,9})")
# An optional prefix, the frame's number, an optional extension; no separator and no leading dot.
_FRAME_PATTERN = re.compile(
    r"(?=.{1,200}\Z)(?!\.)([A-Za-z0-9_.-]*?)([0-9]{1,18})((?:\.[A-Za-z][A-Za-z0-9]*)?)"
)


def is_key(name: str) -> bool:
    """Whether `name` is a full key: 64 lower-case hexadecimal digits."""
    return KEY_PATTERN.fullmatch(name) is not None


def random_suffix() -> str:
    """128 random bits in hexadecimal."""
    return os.urandom(16).hex()


def staging_name(key: str) -> str:
    """A fresh name below `staging/` for a writer of `key`."""
    return f"{key}.{random_suffix()}"


def staging_key(name: str) -> str | None:
    """The key that a staging name belongs to, or None for a name that is not ours."""
    match = _STAGING_PATTERN.fullmatch(name)
    return match.group(1) if match else None


def trash_name(name: str) -> str:
    """A fresh name below `trash/` for something called `name`; long foreign names are cut."""
    return f"{name[:100]}.{random_suffix()}"


def was_entry(name: str) -> bool:
    """Whether what is called `name` below `trash/` was an entry, and not a writer's staging."""
    return _STAGING_PATTERN.fullmatch(name) is not None  # a key and one suffix; staging has two


def generation_of(name: str) -> int | None:
    """The number of a generation directory (`v1` is 1), or None for any other name."""
    match = _GENERATION_PATTERN.fullmatch(name)
    return int(match.group(1)) if match else None


def frame_number(name: str) -> tuple[str, int, str] | None:
    """Split a frame's name into prefix, number and extension; None if it is not a frame's name.

    Frames are ordered by number and not by name, so that frame_100000 follows frame_99999.
    """
    match = _FRAME_PATTERN.fullmatch(name)
    if match is None:
        return None
    return match.group(1), int(match.group(2)), match.group(3)
