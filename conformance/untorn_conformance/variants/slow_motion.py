"""The reference with rests: before it renames, after it locks, and before each eviction."""

from __future__ import annotations

import os
import time
from typing import Final

from untorn import collect, lookup, publish
from untorn.collect import Listed, Tally
from untorn.lease import Claim
from untorn.root import Root
from untorn.staging import Staging

from untorn_conformance.backends.reference import Reference

NEAR: Final = frozenset({"G12", "P3", "R2"})

_REST_S: Final = 0.0005
_rename = publish._rename
_lock_current = lookup._lock_current
_set_entry_aside = collect._set_entry_aside


def factory() -> Reference:
    """The variant, in a process of its own."""
    publish._rename = _rename_rested
    lookup._lock_current = _lock_and_rest
    collect._set_entry_aside = _set_aside_rested
    return Reference()


def _rename_rested(staging: Staging) -> OSError | None:
    time.sleep(_REST_S)
    return _rename(staging)


def _lock_and_rest(root: Root, key: str) -> tuple[Claim, os.stat_result] | None:
    current = _lock_current(root, key)
    time.sleep(_REST_S)
    return current


def _set_aside_rested(root: Root, entry: Listed, tally: Tally) -> str | None:
    time.sleep(_REST_S)
    return _set_entry_aside(root, entry, tally)
