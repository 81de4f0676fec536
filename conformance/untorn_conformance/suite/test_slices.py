"""Row X2: a range that may be served from a longer entry is what it is when extracted alone.

Whether it was is the backend's own affair: it may always extract anew. So what is asked for lies on
the longer one's frames, between two of its outputs, or between two frames of the source, where what
the longer one shows first is not in the shorter at all. The right frames are those that the same
backend gives for the range alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pytest
from untorn_conformance.backend import Axis, Extracted, ExtractOutcome, Rendered, Verb
from untorn_conformance.contract import Capability
from untorn_conformance.farm import Farm
from untorn_conformance.plugin import requires, unknown
from untorn_conformance.suite.test_merged_requests import (
    Alone,
    Inputs,
    Shot,
    begin_anew,
    differences,
    shot,
)
from untorn_fixtures.clips import clip


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """Two ranges of a clip as (start, duration) in seconds, and the axes that they share."""

    clip: str = "sdr"
    fps: str = "30"
    format: str = "png"
    quality: int | None = None
    longer: tuple[str | None, str | None] = (None, None)
    shorter: tuple[str, str | None] = ("0.5", "0.3")

    def inputs(self, part: tuple[str | None, str | None]) -> Inputs:
        """The axes of one of the two."""
        return {
            Axis.PATH: str(clip(self.clip)),
            Axis.START_S: part[0],
            Axis.DURATION_S: part[1],
            Axis.FPS: self.fps,
            Axis.FORMAT: self.format,
            Axis.QUALITY: self.quality,
        }


CUTS: Final = {
    "aligned": Cut(),
    "as jpg": Cut(format="jpg", quality=80, longer=("0.2", "1.4"), shorter=("1", "0.4")),
    "at half the rate": Cut(fps="15", shorter=("0.6", "0.4")),
    "at a rate that is no whole number": Cut(
        clip="ntsc", fps="30000/1001", shorter=("1.001", "0.3003")
    ),
    "at twice the rate": Cut(fps="60", shorter=("0.9", "0.2")),
    "in ten bits": Cut(clip="hdr10", fps="10", shorter=("0.2", "0.3")),
    "to the end": Cut(shorter=("1.7", None)),
    "between two outputs": Cut(shorter=("0.51", "0.3")),
    "between two source frames": Cut(fps="100", shorter=("1.01", "0.1")),
    "at another rate than the source's": Cut(fps="25", shorter=("0.48", "0.4")),
}


def right_frames(alone: Alone, inputs: Inputs) -> Shot:
    """What a range is owed; UNKNOWN where its frames are all alike, so that no shift would show."""
    right = alone.of(inputs)
    if len(set(right.digests)) < 2:
        unknown("the frames of the range are all alike: nobody could mix them up")
    return right


@pytest.mark.parametrize("name", CUTS)
@requires("X2", evidence="a range after a longer one that contains it; every sample, in ten ways")
def test_X2_a_range_after_a_longer_one_is_as_alone(farm: Farm, name: str) -> None:
    """Cut out or not, nobody can tell from the frames."""
    farm.needs(Capability.SLICE, Capability.EXTRACT)
    cut = CUTS[name]
    right = right_frames(Alone(farm), cut.inputs(cut.shorter))
    worker = farm.worker()
    begin_anew(farm, worker)
    longer = worker.call(Verb.EXTRACT, inputs=cut.inputs(cut.longer))
    assert longer.outcome is ExtractOutcome.PUBLISHED
    for expected in (ExtractOutcome.PUBLISHED, ExtractOutcome.HIT):
        answer = worker.call(Verb.EXTRACT, inputs=cut.inputs(cut.shorter))
        assert answer.outcome is expected
        found = list(differences(shot(farm, worker, answer), right))
        assert not found, f"{name}: {found[:3]}"


@requires("X2", evidence="a range whose longer entry was evicted; every sample")
def test_X2_a_range_stays_when_the_longer_one_is_evicted(farm: Farm) -> None:
    """What was cut out has the frames as its own."""
    farm.needs(Capability.SLICE, Capability.EXTRACT)
    cut = CUTS["aligned"]
    right = right_frames(Alone(farm), cut.inputs(cut.shorter))
    worker = farm.worker()
    begin_anew(farm, worker)
    longer = worker.call(Verb.EXTRACT, inputs=cut.inputs(cut.longer))
    held = worker.call(Verb.EXTRACT, inputs=cut.inputs(cut.shorter))
    worker.call(Verb.RELEASE, handle=longer.handle)
    done = worker.call(Verb.COLLECT, budget_bytes=0, min_age_s=0.0, dry_run=False)
    assert done.evicted == 1
    found = list(differences(shot(farm, worker, held), right))
    assert not found, found[:3]


@requires("X2", evidence="four overlapping ranges of one clip in one render; every sample")
def test_X2_overlapping_ranges_of_a_render_are_as_alone(farm: Farm) -> None:
    """However a render goes about it, each range has its own frames."""
    farm.needs(Capability.SLICE, Capability.RENDER, Capability.EXTRACT)
    parts = [("0.4", "0.5"), ("0.2", "0.4"), ("0.8", "0.3"), ("0.51", "0.3")]
    wanted = [Cut().inputs(part) for part in parts]
    alone = Alone(farm)
    right = [right_frames(alone, inputs) for inputs in wanted]
    worker = farm.worker()
    begin_anew(farm, worker)
    rendered: Rendered = worker.call(Verb.RENDER, requests=wanted)
    for inputs, item, owed in zip(wanted, rendered.items, right, strict=True):
        assert isinstance(item, Extracted), item
        found = list(differences(shot(farm, worker, item), owed))
        assert not found, f"{inputs[Axis.START_S]}: {found[:3]}"
