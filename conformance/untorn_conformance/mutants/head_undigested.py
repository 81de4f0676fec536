"""The reference with a digest of the wrong range. Seeded bug: its first bytes are left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from untorn import manifest

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"T2"})
MAY_FAIL: Final = frozenset({"O1"})
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_third_party.py",
        id="T2.a_verified_lookup_misses_what_is_damaged[flipped-unnoticed]",
        says="Hit(",
    ),
)

_HEAD_BYTES: Final = 16
_digest_file = manifest.digest_file


def factory() -> Reference:
    """The mutant, in a process of its own."""
    manifest.digest_file = _digest_rest
    return Reference()


def _digest_rest(read: Callable[[int], bytes]) -> str:
    read(_HEAD_BYTES)
    return _digest_file(read)
