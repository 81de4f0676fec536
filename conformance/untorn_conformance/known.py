"""What a baseline makes of a case's phases: known failures are deviations, gone ones are errors.

Rule 1: a failure that is known is DEVIATION; so is the pass of a case that fails now and then.
Rule 2: whether a case passes is known after its teardown; a stale entry is told there.
Rule 3: a canary is about the harness: no baseline speaks of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from untorn_conformance.baseline import Baseline, Deviation, deviation_text, stale_text
from untorn_conformance.results import PhaseReport
from untorn_conformance.verdict import EvidenceClass, Outcome


def judged_by(
    baseline: Baseline, phase: PhaseReport, earlier: Sequence[PhaseReport]
) -> PhaseReport:
    """What a phase comes to, given the ``earlier`` ones of its case as this function left them."""
    entry = baseline.deviation_of(phase.case.id)
    if entry is None or phase.case.fails_with:
        return phase
    if phase.outcome is Outcome.FAIL:
        known = deviation_text(entry, phase.detail)
        return replace(phase, outcome=Outcome.DEVIATION, detail=known)
    if phase.outcome is Outcome.PASS and _may_pass(entry, phase):
        return replace(phase, outcome=Outcome.DEVIATION, detail=deviation_text(entry, None))
    told = {each.outcome for each in earlier} - {None}
    if phase.phase == "teardown" and phase.outcome is None and told == {Outcome.PASS}:
        stale = stale_text(phase.case.id, entry)
        return replace(phase, outcome=Outcome.HARNESS_ERROR, detail=stale)
    return phase


def _may_pass(entry: Deviation, phase: PhaseReport) -> bool:
    return entry.is_intermittent and phase.case.evidence.kind is not EvidenceClass.EXHAUSTIVE
