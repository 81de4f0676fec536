"""The reference with a long memory. Seeded bug: the environment is read at the first open alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from untorn import cache
from untorn.config import Overrides, Settings, load

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"F4"})
MAY_FAIL: Final = frozenset({"F2", "F3", "G10", "S1", "X1"})
SHOWN_BY: Final[Shown] = (
    Case(file="test_configuration.py", id="F4.the_switch_is_read_at_each_open", says="not True"),
)

_first: dict[str, str] = {}


def factory() -> Reference:
    """The mutant, in a process of its own."""
    vars(cache)["load"] = _load_as_at_first
    return Reference()


def _load_as_at_first(overrides: Overrides, environ: Mapping[str, str]) -> Settings:
    if not _first:
        _first.update(environ)
    return load(overrides, _first)
