"""Extract from sources of every kind: each picture and its alpha, at its time, upright (X1, K3).

What a frame should be comes from a plain run of the decoder over the whole clip, which neither
seeks nor paces, and from the times that the clip itself states.
"""

import io
import subprocess
from collections.abc import Callable
from fractions import Fraction
from functools import cache as cached
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import pytest
from untorn import (
    Cache,
    ClipError,
    DecoderError,
    Delivery,
    Frames,
    Request,
    boxes,
)
from untorn import clip as clips
from untorn_fixtures.clips import clip, ffmpeg_exe

UNEVEN = ["vfr", "vfr_matroska"]
LAST = [*UNEVEN, "sdr", "ntsc", "odd", "hdr10", "alpha_vp8", "alpha_vp9", "alpha_prores", "rotated"]
ALPHA: dict[str, tuple[tuple[str, ...], str]] = {
    "alpha_vp8": (("-c:v", "libvpx"), "rgba"),
    "alpha_vp9": (("-c:v", "libvpx-vp9"), "rgba"),
    "alpha_prores": ((), "rgba64be"),
}
FINAL: dict[str, Any] = {"fps": 30, "final_frame": True}
pytestmark = pytest.mark.usefixtures("decoder")


def picture(png: bytes) -> av.VideoFrame:
    with av.open(io.BytesIO(png), mode="r") as container:
        return next(container.decode(video=0))


def samples(png: bytes) -> bytes:
    """Size, pixel format and every sample in native depth, however they are compressed."""
    frame = picture(png)
    head = f"{frame.width}x{frame.height} {frame.format.name} "
    return head.encode() + frame.to_ndarray().tobytes()


def samples_of(frames: Frames) -> list[bytes]:
    return [samples(frames.read(index)) for index in range(len(frames))]


@cached
def sources(name: str, *before: str) -> list[bytes]:
    """Every frame of the clip by the decoder alone: no seeking, no pace, no cache."""
    with TemporaryDirectory() as folder:
        subprocess.run(
            (
                ffmpeg_exe(),
                "-v",
                "error",
                *before,
                "-i",
                str(clip(name)),
                "-map",
                "0:v:0",
                "-fps_mode",
                "passthrough",
                f"{folder}/%05d.png",
            ),
            check=True,
            stdin=subprocess.DEVNULL,
        )
        return [samples(path.read_bytes()) for path in sorted(Path(folder).iterdir())]


@cached
def times_s(name: str) -> list[Fraction]:
    """When each frame is shown, as its packets state it; the clips begin at 0."""
    with av.open(str(clip(name))) as container:
        return sorted(
            Fraction(packet.pts * packet.time_base)
            for packet in container.demux(video=0)
            if packet.pts is not None and packet.time_base is not None
        )


def furthest_off(name: str, shown: list[bytes], start_s: Fraction, fps: Fraction) -> Fraction:
    """How far the worst frame is from being on screen at its time, in frames of the output."""
    begins = times_s(name)
    ends = [*begins[1:], Fraction(1000)]
    worst = Fraction(0)
    for number, frame in enumerate(shown):
        index, moment = sources(name).index(frame), start_s + number / fps
        worst = max(worst, begins[index] - moment, moment - ends[index])
    return worst * fps


@pytest.mark.parametrize("name", UNEVEN)
@pytest.mark.parametrize("start", ["0", "0.35", "0.7", "0.9", "2.15"])
@pytest.mark.parametrize("fps", ["30", "12", "60000/1001"])
def test_frames_of_uneven_pace_are_what_a_player_shows(
    cache: Cache, name: str, start: str, fps: str
) -> None:
    with cache.extract(Request(clip=clip(name), fps=fps, start=start)) as frames:
        assert len(frames) == max(1, round((Fraction("2.2") - Fraction(start)) * Fraction(fps)))
        off = furthest_off(name, samples_of(frames), Fraction(start), Fraction(fps))
        assert off <= Fraction(1, 2)


def test_judge_of_pace_sees_frames_that_are_counted_from_the_first_decoded() -> None:
    """The negative control: the plain command of evenly paced clips, from amid a long frame."""
    begun = sum(begin < Fraction("0.9") for begin in times_s("vfr"))
    late = sources("vfr")[begun]
    assert furthest_off("vfr", [late], Fraction("0.9"), Fraction(30)) > 5


@pytest.mark.parametrize("name", UNEVEN)
def test_range_of_uneven_pace_has_as_many_frames_as_its_length_says(
    cache: Cache, name: str
) -> None:
    """Also where it begins and ends amid the same long frame."""
    request = Request(clip=clip(name), fps=30, start="0.8", duration="0.2")
    with cache.extract(request) as frames:
        assert (len(frames), len(set(samples_of(frames)))) == (6, 1)


@pytest.mark.parametrize("name", UNEVEN)
def test_pace_is_found_to_vary(name: str) -> None:
    info = clips.probe(str(clip(name)))
    assert (info.variable_rate, info.end_s) == (True, Fraction("2.2"))
    assert info.slack_s == Fraction(1, 10)  # the longest of the last frames, not of all


@pytest.mark.parametrize("final_frame", [False, True])
def test_cut_clip_of_uneven_pace_is_not_filled_up_with_its_last_frame(
    cache: Cache, tmp_path: Path, empty: Callable[[], bool], final_frame: bool
) -> None:
    whole = clip("vfr").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DecoderError):
        cache.extract(Request(clip=tmp_path / "cut.mp4", fps=30, final_frame=final_frame))
    assert empty()


@pytest.mark.parametrize("name", ["sdr", "ntsc", "odd", "hdr10", "vp8", "alpha_vp9", "prores"])
def test_even_pace_is_found_to_be_even(name: str) -> None:
    assert not clips.probe(str(clip(name))).variable_rate


@pytest.mark.parametrize("name", ALPHA)
def test_alpha_is_kept(cache: Cache, name: str) -> None:
    before, pixel_format = ALPHA[name]
    with cache.extract(Request(clip=clip(name), fps=25)) as frames:
        shown = samples_of(frames)
        assert picture(frames.read(0)).format.name == pixel_format
        assert shown == sources(name, *before)
        assert picture(frames.read(0)).to_ndarray()[..., 3].std() > 0
    if before:
        assert sources(name) != shown  # the negative control: the decoder that passes over it


@pytest.mark.parametrize("name", ALPHA)
def test_jpg_of_alpha_is_refused_and_nothing_is_left(
    cache: Cache, name: str, empty: Callable[[], bool]
) -> None:
    with pytest.raises(ClipError, match="alpha, which jpg cannot hold: ask for png"):
        cache.extract(Request(clip=clip(name), fps=25, format="jpg"))
    assert empty()


@pytest.mark.parametrize("name", ["vp8", "prores"])
def test_jpg_of_the_same_codec_without_alpha_is_given(cache: Cache, name: str) -> None:
    with cache.extract(Request(clip=clip(name), fps=25, format="jpg")) as frames:
        assert frames.read(0).startswith(b"\xff\xd8")


def test_rotated_clip_comes_out_upright(cache: Cache) -> None:
    with cache.extract(Request(clip=clip("rotated"), fps=25)) as frames:
        frame = picture(frames.read(0))
        assert (frame.width, frame.height) == (90, 160)
        assert samples_of(frames) == sources("rotated") != sources("rotated", "-noautorotate")


@pytest.mark.parametrize("turned", ["rotated", "aslant"])
def test_header_says_which_clip_may_be_turned(turned: str) -> None:
    assert boxes.may_turn(str(clip(turned)))
    assert not boxes.may_turn(str(clip("sdr")))
    assert not boxes.may_turn(str(clip("alpha_prores")))


@pytest.mark.parametrize(
    "data",
    [b"", b"moov", b"\0\0\0\2moov", b"\0\0\0\x0cmoov\0\0\0\x10", bytes(100_000), b"\xff" * 4096],
    ids=["empty", "short", "too small", "part of a box", "zeros", "ones"],
)
def test_header_that_says_nothing_leaves_it_open(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "clip.mp4").write_bytes(data)
    assert boxes.may_turn(str(tmp_path / "clip.mp4"))


def test_clip_that_is_to_be_shown_aslant_is_refused(
    cache: Cache, empty: Callable[[], bool]
) -> None:
    with pytest.raises(ClipError, match="turned by 45 degrees"):
        cache.extract(Request(clip=clip("aslant"), fps=25))
    assert empty()


def test_pixels_of_an_anamorphic_clip_are_those_that_are_stored(cache: Cache) -> None:
    with cache.extract(Request(clip=clip("anamorphic"), fps=25)) as frames:
        frame = picture(frames.read(0))
        assert (frame.width, frame.height) == (160, 90)
        assert samples_of(frames) == sources("anamorphic")
    assert clips.probe(str(clip("anamorphic"))).sample_aspect == Fraction(4, 3)


def ends_of(name: str) -> tuple[bytes, bytes]:
    """The clip's last frame and its first."""
    every = sources(name, *ALPHA.get(name, ((), ""))[0])
    assert every.count(every[-1]) == 1
    return every[-1], every[0]


@pytest.mark.parametrize("name", LAST)
def test_final_frame_is_the_clips_last_cold_warm_and_uncached(cache: Cache, name: str) -> None:
    last, first = ends_of(name)
    request = Request(clip=clip(name), **FINAL)
    uncached = Cache.open(environ={"UNTORN_CACHE_DIR": "off"})
    with cache.extract(request) as cold, cache.extract(request) as warm:
        assert (cold.delivery, warm.delivery) == (Delivery.PUBLISHED, Delivery.HIT)
        assert samples_of(cold) == samples_of(warm) == [last] != [first]
    with uncached, uncached.extract(request) as alone:
        assert samples_of(alone) == [last]


@pytest.mark.parametrize("name", ["sdr", *UNEVEN])
@pytest.mark.parametrize("end", ["0.5", "0.99", "1", "1.2", "2.1", "50"])
def test_final_frame_of_a_range_is_shown_when_it_ends(cache: Cache, name: str, end: str) -> None:
    duration = Fraction(end) - Fraction("0.4")
    request = Request(clip=clip(name), start="0.4", duration=duration, **FINAL)
    shown = sources(name)[sum(begin < Fraction(end) for begin in times_s(name)) - 1]
    with cache.extract(request) as frames:
        assert samples_of(frames) == [shown]


def remade(path: Path, *options: str) -> list[float]:
    """A clip made of testsrc2 by ffmpeg's options; when its packets are shown, by decoding."""
    subprocess.run(
        [ffmpeg_exe(), "-v", "error", *options, str(path)], check=True, stdin=subprocess.DEVNULL
    )
    with av.open(str(path)) as container:
        return [packet.pts for packet in container.demux(video=0) if packet.pts is not None]


@pytest.mark.parametrize(
    ("held", "frames"),
    [
        ("lt(n,20)+between(n,40,41)+eq(n,60)", 61),
        ("lt(n,30)+eq(n,50)+eq(n,58)", 59),
        ("not(mod(n,7)*mod(n,3))", 64),
    ],
)
def test_no_frame_is_lost_where_the_index_counts_by_decoding(
    cache: Cache, tmp_path: Path, held: str, frames: int
) -> None:
    """The stated length of the first two is 1.43 and 1.07 s: the lengths of other frames."""
    path = tmp_path / "reordered.mp4"
    source = f"testsrc2=size=160x90:rate=30:duration=2.2,select='{held}'"
    reorder = ["-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-b_strategy", "0"]
    shown = remade(path, "-f", "lavfi", "-i", source, "-fps_mode", "passthrough", *reorder)
    assert shown != sorted(shown)
    with (
        cache.extract(Request(clip=path, fps=30)) as whole,
        cache.extract(Request(clip=path, **FINAL)) as last,
    ):
        every = samples_of(whole)
        assert (len(every), len(set(every))) == (frames, len(shown))
        assert samples_of(last) == every[-1:]


def test_end_that_is_stated_too_early_is_no_end(cache: Cache, tmp_path: Path) -> None:
    """FLV states when its last frame begins: there the frame before is not the final one."""
    path = tmp_path / "early.flv"
    remade(path, "-i", str(clip("sdr")), "-frames:v", "40", "-c:v", "flv1")
    with (
        cache.extract(Request(clip=path, fps=30)) as whole,
        cache.extract(Request(clip=path, **FINAL)) as last,
    ):
        every = samples_of(whole)
        assert (len(every), len(set(every))) == (40, 40)
        assert samples_of(last) == every[-1:]


def test_clip_that_was_cut_between_key_frames_keeps_the_length_of_the_cut(
    cache: Cache, tmp_path: Path
) -> None:
    """Copied from the key frame before it: what the edit list leaves out is not counted."""
    path = tmp_path / "cut.mp4"
    shown = remade(path, "-ss", "0.7", "-i", str(clip("sdr")), "-t", "0.9", "-c", "copy")
    assert min(shown) < 0
    info = clips.probe(str(path))
    assert info.end_s is not None
    assert info.start_s == 0
    assert Fraction("0.9") <= info.end_s < Fraction("1.2")
    with cache.extract(Request(clip=path, fps=30)) as frames:
        assert len(frames) == round(info.end_s * 30)
        assert samples(frames.read(0)) in sources("sdr")[19:24]


def test_final_frame_is_no_later_one_where_seeking_misses_the_key_frame(
    cache: Cache, tmp_path: Path, empty: Callable[[], bool]
) -> None:
    """A transport stream has no index, and this one has a single key frame."""
    path = tmp_path / "one.ts"
    remade(path, "-i", str(clip("sdr")), "-g", "25", "-c:v", "libx264", "-bf", "0")
    with pytest.raises(DecoderError, match="no frame"):
        cache.extract(Request(clip=path, duration="0.9", **FINAL))
    assert empty()


def test_clip_that_states_no_times_has_no_final_frame(cache: Cache, tmp_path: Path) -> None:
    path = tmp_path / "bare.h264"
    remade_without_times = ["-i", str(clip("sdr")), "-c", "copy", "-bsf:v", "h264_mp4toannexb"]
    assert remade(path, *remade_without_times) == []
    with pytest.raises(ClipError, match="does not tell its length"):
        cache.extract(Request(clip=path, **FINAL))


def test_last_frame_is_held_until_the_stated_end(cache: Cache, tmp_path: Path) -> None:
    """Its packet says a moment; the second is stated for the frame that is decoded last."""
    encoded, path = tmp_path / "encoded.mp4", tmp_path / "held.mp4"
    shown = remade(
        encoded, "-i", str(clip("vfr")), "-an", "-fps_mode", "passthrough",
        "-c:v", "libx264", "-bf", "3", "-b_strategy", "0",
    )  # fmt: skip
    assert shown[-1] != max(shown)
    held = f"setts=pts=PTS:dts=DTS:duration=if(eq(N\\,{len(shown) - 1})\\,1/TB_OUT\\,DURATION)"
    remade(path, "-i", str(encoded), "-c", "copy", "-bsf:v", held)
    end_s = clips.probe(str(path)).end_s
    assert end_s is not None
    assert end_s > 3
    with (
        cache.extract(Request(clip=path, fps=30)) as whole,
        cache.extract(Request(clip=path, **FINAL)) as last,
    ):
        assert len(whole) == round(end_s * 30)
        every = samples_of(whole)
        assert set(every[-25:]) == {every[-1]}
        assert samples_of(last) == every[-1:]


def test_final_frame_shares_no_entry_with_the_range(cache: Cache) -> None:
    tiny: dict[str, Any] = {"clip": clip("sdr"), "fps": 30, "start": 1, "duration": "1/30"}
    with (
        cache.extract(Request(**tiny)) as plain,
        cache.extract(Request(**tiny, final_frame=True)) as last,
    ):
        assert plain.key != last.key


def test_final_frame_of_a_clip_that_was_cut_is_no_earlier_one(
    cache: Cache, empty: Callable[[], bool]
) -> None:
    with pytest.raises(DecoderError):
        cache.extract(Request(clip=clip("truncated"), **FINAL))
    assert empty()


def test_range_within_one_frame_of_even_pace_is_a_clip_error(
    cache: Cache, empty: Callable[[], bool]
) -> None:
    with pytest.raises(ClipError, match="no frame of the clip begins in the range"):
        cache.extract(Request(clip=clip("sdr"), fps=30, start="1.99"))
    assert empty()
