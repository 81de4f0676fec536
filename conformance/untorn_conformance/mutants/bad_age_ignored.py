"""The reference that knows better. Seeded bug: an age that is no number means the default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from untorn import config
from untorn.errors import ConfigError

from untorn_conformance.backends.reference import Reference
from untorn_conformance.mutants import Case, Shown

KILLS: Final = frozenset({"F3"})
MAY_FAIL: Final[frozenset[str]] = frozenset()
SHOWN_BY: Final[Shown] = (
    Case(
        file="test_configuration.py",
        id="F3.what_is_no_age_is_an_error_naming_the_variable",
        says="accepted",
    ),
)

_seconds = config._seconds


def factory() -> Reference:
    """The mutant, in a process of its own."""
    config._seconds = _seconds_or_default
    return Reference()


def _seconds_or_default(
    override: float | None,
    name: str,
    default: float,
    variable: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> float:
    try:
        return _seconds(override, name, default, variable, environ)
    except ConfigError:
        return default
