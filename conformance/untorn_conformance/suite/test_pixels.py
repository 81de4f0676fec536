"""Chapter X: cold, warm, uncached and a plain run of the decoder give the same pixels.

Cold and warm are read from the same files, so only the uncached and the plain run are independent
of the cache. A plain run is made for png alone: what a jpg quality means to the decoder is the
backend's own affair, its pixels are compared among the backend's own runs.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from untorn_conformance.backend import Axis, Extracted, ExtractOutcome, Setting, Verb
from untorn_conformance.cases import begins
from untorn_conformance.checkers import pixels
from untorn_conformance.contract import Capability
from untorn_conformance.farm import Farm
from untorn_conformance.moves import read_all
from untorn_conformance.plugin import Measure, not_applicable, requires, unknown
from untorn_fixtures.clips import clip as fixture_clip
from untorn_fixtures.clips import ffmpeg_exe
from untorn_fixtures.four_clips import ClipRequest, four_clips
from untorn_fixtures.real import real_clip
from untorn_stress.worker import Worker

OFF = "off"


@dataclass(frozen=True, slots=True)
class Run:
    """The frames of one extraction: names, files, SHA-256, and how long the call took."""

    names: Sequence[str]
    paths: Sequence[Path]
    digests: Sequence[str]
    outcome: ExtractOutcome
    seconds: float


def extract(farm: Farm, worker: Worker, inputs: dict[Axis, str | int | None]) -> Run:
    """Extract, read every frame through the backend, and find its files by their bytes."""
    started_s = time.perf_counter()
    answer: Extracted = worker.call(Verb.EXTRACT, inputs=inputs, deadline_s=300)
    seconds = time.perf_counter() - started_s
    digests, kept = read_all(worker, answer), farm.files_by_digest()
    if not kept.keys() >= set(digests):
        unknown("the backend does not keep its frames as plain files")
    paths = [kept[each] for each in digests]
    return Run(answer.files, paths, digests, answer.outcome, seconds)


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A clip, what is asked of it, and how a plain run of the decoder gets the same.

    ``before`` are the plain run's options ahead of the clip. ``unsought``: it decodes the clip from
    its beginning and leaves out what is before the range, because where it seeks into a clip of
    uneven pace it would begin with the next frame in place of the one that is still shown.
    ``last``: its last frame alone is compared.
    """

    clip: str
    axes: dict[Axis, Any]
    real: bool = False
    before: tuple[str, ...] = ()
    unsought: bool = False
    last: bool = False

    @property
    def path(self) -> Path:
        """The clip, made or fetched if need be."""
        return real_clip(self.clip) if self.real else fixture_clip(self.clip)

    @property
    def inputs(self) -> dict[Axis, str | int | None]:
        """What is asked."""
        return {Axis.PATH: str(self.path), Axis.FORMAT: "png", **self.axes}


def plain(case: Case, target: Path) -> list[Path]:
    """The same range by the decoder alone, with a command written here."""
    inputs, skipped = case.inputs, 0
    target.mkdir()
    arguments = list(case.before)
    if inputs.get(Axis.START_S) and not case.unsought:
        arguments += ["-ss", str(inputs[Axis.START_S])]
    if inputs.get(Axis.DURATION_S):
        arguments += ["-t", str(inputs[Axis.DURATION_S])]
    arguments += ["-i", str(case.path), "-map", "0:v:0", "-vf", f"fps={inputs[Axis.FPS]}"]
    command = [ffmpeg_exe(), "-nostdin", "-v", "error", *arguments, str(target / "%06d.png")]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    if case.unsought:
        skipped = int(Fraction(str(inputs[Axis.START_S])) * Fraction(str(inputs[Axis.FPS])))
    return sorted(target.iterdir())[-1 if case.last else skipped :]


def assert_same_pixels(one: Run, frames: Sequence[pixels.Samples], other: Run, what: str) -> None:
    """Every frame of both runs is identical, in equal order; ``frames`` are the first one's."""
    found = pixels.compare(frames, other.paths, names=(one.names, other.names))
    assert found.identical, f"{what}: {found.differences[:3]}"


FINAL_FRAME = "final-frame"
AT_25 = {Axis.FPS: "25"}
CASES = {
    "sdr": Case(clip="sdr", axes={Axis.FPS: "30"}),
    "ntsc": Case(clip="ntsc", axes={Axis.FPS: "30000/1001"}),
    "odd": Case(clip="odd", axes={Axis.FPS: "30"}),
    "hdr10": Case(clip="hdr10", axes={Axis.FPS: "30"}),
    "vfr": Case(clip="vfr", axes={Axis.FPS: "30"}),
    "vfr amid a long frame": Case(
        clip="vfr", axes={Axis.FPS: "20", Axis.START_S: "0.9"}, unsought=True
    ),
    "vfr_matroska": Case(
        clip="vfr_matroska", axes={Axis.FPS: "20", Axis.START_S: "0.9"}, unsought=True
    ),
    "final frame": Case(clip="sdr", axes={Axis.FPS: "30", Axis.TRANSFORM: FINAL_FRAME}, last=True),
    "final frame of uneven ones": Case(
        clip="vfr", axes={Axis.FPS: "30", Axis.TRANSFORM: FINAL_FRAME}, last=True
    ),
    "vp8": Case(clip="vp8", axes=AT_25),
    "alpha_vp8": Case(clip="alpha_vp8", axes=AT_25, before=("-c:v", "libvpx")),
    "alpha_vp9": Case(clip="alpha_vp9", axes=AT_25, before=("-c:v", "libvpx-vp9")),
    "prores": Case(clip="prores", axes=AT_25),
    "alpha_prores": Case(clip="alpha_prores", axes=AT_25),
    "hevc": Case(clip="hevc", axes=AT_25),
    "rotated": Case(clip="rotated", axes=AT_25),
    "anamorphic": Case(clip="anamorphic", axes=AT_25),
    "bigbuckbunny": Case(
        clip="bigbuckbunny", axes={Axis.FPS: "5", Axis.DURATION_S: "1"}, real=True
    ),
    "bikes": Case(
        clip="bikes",
        axes={Axis.FPS: "12.5", Axis.START_S: "1.5", Axis.DURATION_S: "2"},
        real=True,
    ),
    "carphone": Case(clip="carphone_pristine", axes={Axis.FPS: "30000/1001"}, real=True),
}


@pytest.mark.parametrize("clip_name", CASES)
@requires("X1", evidence="one clip as png: cold, warm, uncached, and ffmpeg alone; every sample")
def test_X1_cold_warm_uncached_and_plain_are_identical(
    farm: Farm, clip_name: str, tmp_path: Path
) -> None:
    """A cache that changes a picture is worse than none."""
    farm.needs(Capability.EXTRACT)
    case = CASES[clip_name]
    if Axis.TRANSFORM in case.axes and case.axes[Axis.TRANSFORM] not in farm.hello.transforms:
        not_applicable(f"hello names no transform {case.axes[Axis.TRANSFORM]}")
    inputs = case.inputs
    worker = farm.worker()
    cold, warm = extract(farm, worker, inputs), extract(farm, worker, inputs)
    assert (cold.outcome, warm.outcome) == (ExtractOutcome.PUBLISHED, ExtractOutcome.HIT)
    assert (warm.names, warm.digests) == (cold.names, cold.digests)
    reference = plain(case, tmp_path / "plain")
    alone = Run(cold.names, reference, (), ExtractOutcome.UNCACHED, 0.0)
    assert len(reference) == len(cold.paths)
    frames = [pixels.decode(each) for each in cold.paths]
    assert_same_pixels(cold, frames, alone, "cold against ffmpeg alone")
    if variable := farm.hello.variables.get(Setting.ROOT):
        other = farm.worker(open_root=False)
        other.call(Verb.OPEN, root=None, env={variable: OFF}, clock_offset_s=0.0)
        uncached = extract(farm, other, inputs)
        assert uncached.outcome is ExtractOutcome.UNCACHED
        assert_same_pixels(cold, frames, uncached, "cold against uncached")


def inputs_of(request: ClipRequest) -> dict[Axis, str | int | None]:
    """One of the four requests as the axes of a key."""
    return {
        Axis.PATH: str(real_clip(request.clip)),
        Axis.START_S: str(request.start_s),
        Axis.DURATION_S: str(request.duration_s),
        Axis.FPS: str(request.fps),
        Axis.FORMAT: str(request.image_format),
        Axis.QUALITY: request.quality,
    }


@begins(4)
@requires("X1", evidence="the four fixed requests on real clips, cold, warm and uncached")
def test_X1_four_clips_cold_and_warm(farm: Farm, measure: Measure) -> None:
    """The main job: four requests, twice, with the same pixels, and what it took."""
    farm.needs(Capability.EXTRACT)
    worker = farm.worker()
    variable = farm.hello.variables.get(Setting.ROOT)
    for number, request in enumerate(four_clips(), start=1):
        inputs = inputs_of(request)
        cold, warm = extract(farm, worker, inputs), extract(farm, worker, inputs)
        assert (cold.outcome, warm.outcome) == (ExtractOutcome.PUBLISHED, ExtractOutcome.HIT)
        independent = warm
        if variable:
            other = farm.worker(open_root=False)
            other.call(Verb.OPEN, root=None, env={variable: OFF}, clock_offset_s=0.0)
            independent = extract(farm, other, inputs)
        found = pixels.compare(cold.paths, independent.paths, names=(cold.names, independent.names))
        measure(
            f"four_clips {number}: {request.clip}, {found.frames} {request.image_format} frames",
            cold_s=cold.seconds,
            warm_s=warm.seconds,
            times_faster=cold.seconds / warm.seconds,
            psnr_db=found.psnr_db,
        )
        assert (warm.names, warm.digests) == (cold.names, cold.digests)
        assert found.identical, found.differences[:3]
