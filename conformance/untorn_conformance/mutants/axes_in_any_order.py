"""The reference with a key that is written as it comes. Seeded bug: axes in the order of a set.

Which that is depends on the seed of the process' hashes.
"""

from __future__ import annotations

import json
from typing import Final

from untorn import key
from untorn.key import KeyInputs

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"K1"})
MAY_FAIL: Final = frozenset({"P7"})
SHOWN_BY: Final[Shown] = (Case(file="test_key.py", id="K1.processes_agree", says="=="),)

_canonical_bytes = key.canonical_bytes


def factory() -> Reference:
    """The mutant, in a process of its own."""
    key.canonical_bytes = _unsorted
    return Reference()


def _unsorted(inputs: KeyInputs) -> bytes:
    axes = json.loads(_canonical_bytes(inputs).removeprefix(key._DOMAIN))
    return key._DOMAIN + json.dumps({name: axes[name] for name in set(axes)}).encode("ascii")
