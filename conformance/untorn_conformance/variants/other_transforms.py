"""The reference with other words for its transforms, and no variable that switches it off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from untorn_conformance.backend import Axis, Extracted, Hello, Inputs, Rendered, Setting, SourceKind
from untorn_conformance.backends.reference import Reference
from untorn_conformance.contract import Capability

NEAR: Final = frozenset({"K5"})
LACKING: Final = frozenset(
    {
        "F1.on_by_default_below_the_temporary_directory",
        "F2.off",
        "F3.what_is_no_age_is_an_error_naming_the_variable",
        "F4.the_switch_is_read_at_each_open",
        "G10.budget[nothing]",
        "G14.an_entry_larger_than_the_budget_evicts_no_other",
        "X1.cold_warm_uncached_and_plain_are_identical[final frame]",
        "X1.cold_warm_uncached_and_plain_are_identical[final frame of uneven ones]",
    }
)

_WORDS: Final = {"for cinema": "sdr2hdr-smpte2084", "for the web": "hdr2sdr"}


def factory() -> Reference:
    """The variant, in a process of its own."""
    return _Worded()


class _Worded(Reference):
    def hello(self) -> Hello:
        """Two transforms, one of them of HLG."""
        said = super().hello()
        return replace(
            said,
            capabilities=said.capabilities - {Capability.CONFIG},
            variables={Setting.VERIFY: said.variables[Setting.VERIFY]},
            transforms={"for cinema": SourceKind.SDR, "for the web": SourceKind.HLG},
        )

    def extract(self, *, inputs: Inputs) -> Extracted:
        """Extract by the reference's own word."""
        return super().extract(inputs=_translated(inputs))

    def render(self, *, requests: Sequence[Inputs]) -> Rendered:
        """Render by the reference's own words."""
        return super().render(requests=list(map(_translated, requests)))


def _translated(inputs: Inputs) -> Inputs:
    return {**inputs, Axis.TRANSFORM: _WORDS.get(str(inputs.get(Axis.TRANSFORM)))}
