"""The same cache with a clock of its own, which only the verb ``age`` moves."""

from __future__ import annotations

import dataclasses

from untorn_conformance.backend import Hello
from untorn_conformance.contract import Capability
from untorn_conformance.meta.demo.directory import DirectoryCache


class ClockedCache(DirectoryCache):
    """Counts its age among its statistics."""

    def hello(self) -> Hello:
        said = super().hello()
        declared = said.capabilities | {Capability.VIRTUAL_CLOCK}
        return dataclasses.replace(said, capabilities=declared)

    def age(self, *, seconds: float) -> None:
        self._counters["age_s"] = self._counters.get("age_s", 0) + round(seconds)
