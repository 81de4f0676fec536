"""Caches that declare [transform] and give K5 nothing to judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from untorn_conformance.backend import Axis, Extracted, Hello, Inputs, Rendered
from untorn_conformance.backends.reference import Reference


class Nameless(Reference):
    """Its hello names no transforms."""

    def hello(self) -> Hello:
        """Declare them, and name none."""
        return replace(super().hello(), transforms={})


class Idle(Reference):
    """Its transforms change nothing: nobody could tell its frames apart."""

    def extract(self, *, inputs: Inputs) -> Extracted:
        """Extract the plain frames, whatever is asked for."""
        return super().extract(inputs={**inputs, Axis.TRANSFORM: None})

    def render(self, *, requests: Sequence[Inputs]) -> Rendered:
        """Render the plain frames."""
        return super().render(requests=[{**each, Axis.TRANSFORM: None} for each in requests])
