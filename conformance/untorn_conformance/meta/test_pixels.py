"""The pixel judge must be able to say no: each control differs by the least that counts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from untorn_conformance.checkers import pixels
from untorn_fixtures.clips import clip, ffmpeg_exe


def extracted(name: str, target: Path) -> list[Path]:
    target.mkdir()
    command = [ffmpeg_exe(), "-nostdin", "-v", "error", "-i", str(clip(name)), "-frames:v", "5"]
    subprocess.run([*command, str(target / "frame_%05d.png")], check=True)
    return sorted(target.iterdir())


def write_png(path: Path, samples: pixels.Samples) -> None:
    form = "rgb24" if samples.dtype == np.uint8 else "rgb48be"
    with av.open(str(path), mode="w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = samples.shape[1], samples.shape[0], form
        frame = av.VideoFrame.from_ndarray(samples, format=form)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture(params=["sdr", "hdr10"])
def frames(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    return extracted(str(request.param), tmp_path / "ours")


def test_the_same_frames_are_identical(frames: list[Path]) -> None:
    found = pixels.compare(frames, frames)
    assert found.identical
    assert found.psnr_db == float("inf")


def test_one_flipped_bit_of_one_sample_is_seen(frames: list[Path], tmp_path: Path) -> None:
    samples = pixels.decode(frames[2]).copy()
    samples[7, 5, 1] ^= 1
    changed = tmp_path / frames[2].name
    write_png(changed, samples)
    found = pixels.compare(frames, [*frames[:2], changed, *frames[3:]])
    assert not found.identical
    assert 0 < found.psnr_db < float("inf")
    assert found.differences[0].startswith(f"{frames[2].name}: 1 samples differ")


def test_writing_a_frame_anew_changes_nothing(frames: list[Path], tmp_path: Path) -> None:
    """The control of the control: the flipped bit is what was seen, not the encoder."""
    same = tmp_path / frames[2].name
    write_png(same, pixels.decode(frames[2]))
    assert pixels.compare([frames[2]], [same]).identical


def test_frames_shifted_by_one_are_seen(frames: list[Path]) -> None:
    names = [path.name for path in frames[1:]]
    found = pixels.compare(frames[:-1], frames[1:], names=(names, names))
    assert not found.identical
    assert len(found.differences) == len(frames) - 1


def test_a_missing_frame_is_seen(frames: list[Path]) -> None:
    assert not pixels.compare(frames, frames[:-1]).identical


def test_another_order_is_seen(frames: list[Path]) -> None:
    assert not pixels.compare(frames, frames[::-1]).identical


def test_no_frames_are_no_proof() -> None:
    assert not pixels.compare([], []).identical


def test_ten_bits_are_not_read_as_eight(tmp_path: Path) -> None:
    """A reader of eight bits would find these equal: they differ in the low byte of each sample."""
    first = extracted("hdr10", tmp_path / "ours")[0]
    samples = pixels.decode(first)
    assert samples.dtype == np.uint16
    changed = tmp_path / first.name
    write_png(changed, np.bitwise_xor(samples, np.uint16(1)))
    assert np.array_equal(samples >> 8, pixels.decode(changed) >> 8)
    assert not pixels.compare([first], [changed]).identical


def test_another_depth_is_seen(tmp_path: Path) -> None:
    first = extracted("hdr10", tmp_path / "ours")[0]
    narrow = tmp_path / first.name
    write_png(narrow, (pixels.decode(first) >> 8).astype(np.uint8))
    assert not pixels.compare([first], [narrow]).identical


def test_a_file_that_is_no_image_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "frame_00001.png"
    path.write_bytes(b"not an image")
    with pytest.raises(ValueError, match="no image"):
        pixels.decode(path)


def test_files_that_are_equally_no_image_are_an_error(tmp_path: Path) -> None:
    paths = [tmp_path / "one", tmp_path / "other"]
    for path in paths:
        path.write_bytes(b"not an image")
    with pytest.raises(ValueError, match="no image"):
        pixels.compare(paths[:1], paths[1:], names=(["frame"], ["frame"]))
