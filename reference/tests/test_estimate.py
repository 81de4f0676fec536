"""What a range of a clip will hold: exact counts over hours, room for alpha and depth."""

import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from untorn import Cache, ClipError, DecoderError, Request, estimate
from untorn.clip import ClipInfo, Transfer, probe
from untorn.command import Range
from untorn.key import FrameFormat
from untorn_fixtures.clips import clip, ffmpeg_exe

HOUR_S = Fraction(3600)
NTSC = Fraction(30000, 1001)
KINDS = ["sdr", "hdr10", "odd", "vfr", "alpha_vp8", "alpha_vp9", "alpha_prores", "prores", "hevc"]


def info(**changes: Any) -> ClipInfo:
    plain: dict[str, Any] = {
        "width": 100,
        "height": 10,
        "rate": Fraction(30),
        "duration_s": HOUR_S,
        "pixel_format": "yuv420p",
        "transfer": Transfer.SDR,
    }
    return ClipInfo(**{**plain, **changes})


def asked(**changes: Any) -> Range:
    plain: dict[str, Any] = {
        "start_s": Fraction(0),
        "duration_s": None,
        "fps": NTSC,
        "format": FrameFormat.PNG,
        "quality": None,
    }
    return Range(**{**plain, **changes})


@pytest.mark.parametrize("variable_rate", [False, True])
@pytest.mark.parametrize(
    ("start_s", "duration_s", "frames"),
    [
        (0, None, 107_892),
        (1800, None, 53_946),
        (0, 1001, 30_000),
        (10, 1001, 30_000),
        (3599, 50, 30),
    ],
)
def test_frames_of_an_hour_are_counted_without_drift(
    start_s: int, duration_s: int | None, frames: int, variable_rate: bool
) -> None:
    wanted = asked(
        start_s=Fraction(start_s), duration_s=None if duration_s is None else Fraction(duration_s)
    )
    assert estimate.expected_frames(info(variable_rate=variable_rate), wanted) == frames


def test_pictures_that_begin_after_the_sound_end_later() -> None:
    late = info(start_s=Fraction(1), duration_s=Fraction(2), rate=Fraction(25))
    assert estimate.expected_frames(late, asked(fps=Fraction(25))) == 50
    assert estimate.expected_frames(late, asked(fps=Fraction(25), start_s=Fraction("2.6"))) == 10
    with pytest.raises(ClipError, match="ends at 3 s"):
        estimate.expected_frames(late, asked(start_s=Fraction(3)))


@pytest.mark.parametrize(
    ("holds", "image", "bytes_a_pixel"),
    [
        ({}, FrameFormat.PNG, 3),
        ({"alpha": True}, FrameFormat.PNG, 4),
        ({"depth_bits": 10}, FrameFormat.PNG, 6),
        ({"depth_bits": 12, "alpha": True}, FrameFormat.PNG, 8),
        ({"depth_bits": 10}, FrameFormat.JPG, 3),
    ],
)
def test_room_is_asked_for_each_channel_in_its_depth(
    holds: dict[str, Any], image: FrameFormat, bytes_a_pixel: int
) -> None:
    part = {FrameFormat.PNG: 0.7, FrameFormat.JPG: 0.25}[image]
    wanted = estimate.need(info(**holds), asked(format=image), 10)
    assert wanted.size == int(10 * 100 * 10 * bytes_a_pixel * part)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.usefixtures("decoder")
def test_frames_take_no_more_room_than_was_asked_for(cache: Cache, name: str) -> None:
    request = Request(clip=clip(name), fps=25)
    held = probe(str(clip(name)))
    wanted = asked(fps=Fraction(25))
    with cache.extract(request) as frames:
        need = estimate.need(held, wanted, estimate.expected_frames(held, wanted))
        assert need.size / 8 < frames.frame_bytes <= need.size
        assert len(frames) <= need.files


def test_no_frame_of_a_range_that_has_some_is_the_decoders_fault() -> None:
    wanted = asked(duration_s=Fraction(1))
    with pytest.raises(DecoderError, match="no frame"):
        estimate.require_enough(0, info(), wanted, 30)
    with pytest.raises(ClipError, match="no frame of the clip begins"):
        estimate.require_enough(0, info(), asked(duration_s=Fraction(1, 60)), 1)


@pytest.fixture
def hour(tmp_path: Path) -> Path:
    """An hour at one frame a second, which shows its number: k % 256 left, k / 256 * 16 right."""
    path = tmp_path / "hour.mkv"
    lavfi = "color=black:size=16x16:rate=1,format=gray,"
    lavfi += "geq=lum='if(lt(X,8),mod(N,256),floor(N/256)*16)'"
    command = [ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", lavfi, "-frames:v", "3600"]
    command += ["-c:v", "ffv1", "-pix_fmt", "gray", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def number_shown(path: str) -> int:
    with av.open(path, mode="r") as container:
        pixels = next(container.decode(video=0)).to_ndarray()
    return int(pixels[0, 0]) + int(pixels[0, 15]) // 16 * 256


@pytest.mark.usefixtures("decoder")
def test_more_frames_than_five_digits_count_come_in_order_without_drift(
    cache: Cache, hour: Path
) -> None:
    with cache.extract(Request(clip=hour, fps="30000/1001")) as frames:
        assert len(frames) == 107_892
        assert frames.names[99_998:100_000] == ("frame_99999.png", "frame_100000.png")
        assert sorted(frames.names) != list(frames.names)  # the negative control: order of text
        shown = {index: number_shown(frames.paths[index]) for index in range(0, 107_892, 211)}
    # A source frame is shown from the tick nearest to its second: half a tick early at most.
    assert shown == {index: int((index + Fraction(1, 2)) / NTSC) for index in shown}
