"""The reference that does not compare keys. Seeded bug: a manifest is read as of any key."""

from __future__ import annotations

import json
from typing import Final

from untorn import manifest
from untorn.manifest import Manifest

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"K7"})
MAY_FAIL: Final = frozenset({"P4", "R6"})
SHOWN_BY: Final[Shown] = (
    Case(file="test_key.py", id="K7.another_keys_entry_is_a_miss", says="Hit("),
)

_parse = manifest.parse


def factory() -> Reference:
    """The mutant, in a process of its own."""
    manifest.parse = _parse_any
    return Reference()


def _parse_any(text: bytes, key: str) -> Manifest:
    try:
        said = json.loads(text.split(b"\n")[0])["key"]
    except (ValueError, KeyError, TypeError):
        said = key
    return _parse(text, said)
