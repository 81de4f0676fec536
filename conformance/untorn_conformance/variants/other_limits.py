"""The reference with limits of its own: recency every half hour, dead staging reaped after 40 s."""

from __future__ import annotations

from typing import Final

from untorn import config

from untorn_conformance.backends.reference import Reference

NEAR: Final = frozenset({"G1", "G4", "R3"})


def factory() -> Reference:
    """The variant, in a process of its own."""
    config.DEFAULT_RECENCY_RESOLUTION_S = 1800.0
    config.DEFAULT_REAP_GRACE_S = 40.0
    return Reference()
