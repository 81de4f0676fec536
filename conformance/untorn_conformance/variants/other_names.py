"""The reference with other names below its root: of staging, and of what is set aside."""

from __future__ import annotations

import re
from typing import Final

from untorn import layout

from untorn_conformance.backends.reference import Reference

NEAR: Final = frozenset({"G4", "G5", "P6"})

_STAGING: Final = re.compile(r"work-([0-9a-f]{64})-[0-9a-f]{32}")
_ENTRY_ASIDE: Final = re.compile(r"gone-[0-9a-f]{64}-[0-9a-f]{32}")


def factory() -> Reference:
    """The variant, in a process of its own."""
    layout.staging_name = _staging_name
    layout.staging_key = _staging_key
    layout.trash_name = _trash_name
    layout.was_entry = _was_entry
    return Reference()


def _staging_name(key: str) -> str:
    return f"work-{key}-{layout.random_suffix()}"


def _staging_key(name: str) -> str | None:
    match = _STAGING.fullmatch(name)
    return match.group(1) if match else None


def _trash_name(name: str) -> str:
    return f"gone-{name[:120]}-{layout.random_suffix()}"


def _was_entry(name: str) -> bool:
    return _ENTRY_ASIDE.fullmatch(name) is not None
