"""Chapters P R G: a machine draws long sequences of moves, and a model judges every answer.

One process acts at a time, so that the model knows what the contract promises of each answer; what
it leaves open, such as which entries recency cannot tell apart, the model leaves open too.
"""

from __future__ import annotations

import pytest
from hypothesis import given, seed
from untorn_conformance.cases import begins
from untorn_conformance.farm import Farm
from untorn_conformance.plugin import TRIAL, Grounds, requires, unknown
from untorn_conformance.profiles import Wheel
from untorn_conformance.suite.hunting import Hunt, ShownError
from untorn_conformance.suite.sequences import WORKERS, Move, Stage, Told, sequences
from untorn_conformance.verdict import Evidence, EvidenceClass

ROWS = ("P1", "P2", "P5", "R1", "R2", "R4", "G1", "G2", "G3", "G4", "G7", "G13", "L2")


@begins(4)
@requires(*ROWS, evidence="drawn sequences of moves; the run says how many, and the seed")
def test_drawn_sequences(
    farm: Farm, wheel: Wheel, grounds: Grounds, request: pytest.FixtureRequest
) -> None:
    """Writes, lookups, reads, releases, collects, ages, deaths and reopenings in any order."""
    hunt: Hunt[tuple[Move, ...], Told] = Hunt(wheel)
    stage = Stage(farm)
    steps = wheel.profile.steps
    shown = run(hunt, stage)
    told = f"{hunt.made} sequences of up to {steps} moves of {WORKERS} workers, one at a time"
    grounds.evidence = Evidence(kind=EvidenceClass.SAMPLED, detail=f"{told} ({wheel.said})")
    if shown is not None:
        grounds.rows = (shown.breach.requirement,)
        text = "\n".join((*shown.lines, f"{shown.breach.requirement}: {shown.breach.message}"))
        folder = request.config.stash[TRIAL].findings
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{shown.breach.requirement}-sequence.txt").write_text(text + "\n")
        pytest.fail(text, pytrace=False)
    if stage.doubt:
        unknown(stage.doubt)
    if not hunt.made:
        unknown("the machine ran no sequence")
    if not stage.collected:
        unknown("every collect was skipped, so that nothing was evicted")


def run(hunt: Hunt[tuple[Move, ...], Told], stage: Stage) -> Told | None:
    """Draw and play sequences; the first that breaks something, without what it needs not."""
    profile = hunt.wheel.profile
    for drawn in hunt.rounds(profile.sequences, shrinks=False):

        @drawn.settings  # above the seed, which would take its database
        @seed(drawn.seed)
        @given(sequences(profile.steps))
        def machine(sequence: tuple[Move, ...]) -> None:
            hunt.try_out(sequence, lambda: stage.play(sequence))

        try:
            machine()
        except ShownError:
            assert hunt.smallest is not None
            return shortened(hunt, stage, *hunt.smallest)
    return None


def shortened(
    hunt: Hunt[tuple[Move, ...], Told], stage: Stage, sequence: tuple[Move, ...], told: Told
) -> Told:
    """The same breach of as few moves as the time allows: half of them go at once, then fewer.

    Source: Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input (2002).
    """
    sequence = sequence[: told.moves]
    size = len(sequence)
    while size:
        size = (size + 1) // 2 if size > 1 else 0
        start = len(sequence) - size
        while size and start > -size and hunt.left_s:
            fewer = sequence[: max(0, start)] + sequence[start + size :]
            again = stage.play(fewer)
            if again is not None and again.breach.requirement == told.breach.requirement:
                sequence, told = fewer[: again.moves], again
            start -= size
    return told
