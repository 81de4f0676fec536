"""Chapters P R G C L: a machine draws who does what, from which tree, and who moves when.

Its rules are moves of the engine: a worker writes, reads or collects; whoever moved last goes on;
another takes over; a worker is killed. A plan of such moves is drawn whole and then run at the
gate. What it finds is shrunk to the fewest operations, turns and faults.
"""

from __future__ import annotations

from functools import partial

import pytest
from untorn_conformance import beginnings, exploring
from untorn_conformance.cases import begins
from untorn_conformance.findings import fail_with
from untorn_conformance.plugin import TRIAL, Grounds, requires, unknown
from untorn_conformance.profiles import Wheel
from untorn_conformance.suite.hunting import Hunt
from untorn_conformance.suite.planning import Machine, Plan, Shown, trees_of
from untorn_conformance.verdict import Evidence, EvidenceClass
from untorn_stress.laboratory import Laboratory

ROWS = ("P1", "P2", "P3", "P5", "R1", "R2", "R4", "R6", "G7", "G9", "C1", "D2", "L2", "L5")


@begins(4)
@requires(*ROWS, evidence="drawn plans of up to 3 workers; the run says how many, and the seed")
def test_drawn_plans(
    laboratory: Laboratory, wheel: Wheel, grounds: Grounds, request: pytest.FixtureRequest
) -> None:
    """From natural trees and crash states: up to three workers, four turns and one fault."""
    with beginnings.outcomes("the trees cannot be made"):
        trees = trees_of(laboratory)
    folder = request.config.stash[TRIAL].findings
    hunt: Hunt[Plan, Shown] = Hunt(wheel)
    machine = Machine(laboratory, trees, hunt, on_found=partial(exploring.write_finding, folder))
    machine.run(wheel.profile.plans)
    grounds.evidence = Evidence(
        kind=EvidenceClass.SAMPLED,
        detail=f"{hunt.made} plans of up to 3 workers, drawn and run at the gate ({wheel.said})",
    )
    if machine.smallest is not None:
        found = machine.smallest_first()
        if found[0] is not (first := machine.first_of(found[0])):
            exploring.path_of(folder, first).unlink()  # a smaller one takes its place
        fail_with(found, grounds, request)
    if machine.doubts:
        unknown("; ".join(machine.doubts))
    if not hunt.made:
        unknown("the machine ran no plan")
