"""Slices of real decodes: what is taken for a slice is what the decoder writes alone (X2).

Each frame of these clips carries its own number, so that no two are alike; what the decoder writes
is compared byte by byte, which covers pixels and count.
"""

import dataclasses
import functools
import random
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest
from untorn import cadence, clip, command, decoder, extraction, superset
from untorn.clip import ClipInfo
from untorn.command import Range
from untorn.key import FrameFormat
from untorn_fixtures.clips import ffmpeg_exe

WIDTH, HEIGHT, BITS = 96, 64, 12
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-qp", "12")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params")
SOUND = ("-f", "lavfi", "-i", "sine=d=3", "-c:a", "aac")


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """How a clip is made: its file and rate, the encoder's arguments, what is copied after."""

    file: str
    rate: str = "30"
    frames: int = 75
    encode: tuple[str, ...] = X264
    after: tuple[str, ...] = ()


REGULAR = {
    "b-frames": Made(file="b.mp4", encode=(*X264, "-bf", "3", "-g", "24")),
    "no-b-frames": Made(file="p.mp4", rate="25", encode=(*X264, "-bf", "0", "-g", "12")),
    "ntsc": Made(file="ntsc.mp4", rate="30000/1001", encode=(*X264, "-g", "30")),
    "film": Made(file="film.mov", rate="24000/1001", encode=(*X264, "-g", "24")),
    "fast": Made(file="fast.mp4", rate="60", frames=150),
    "milliseconds": Made(file="ms.mkv", encode=(*X264, "-g", "20")),
    "all-keys": Made(file="ffv1.mkv", rate="30000/1001", encode=("-c:v", "ffv1", "-g", "1")),
    "hevc": Made(file="hevc.mkv", rate="24", encode=(*X265, "log-level=none:open-gop=0:keyint=20")),
    "hevc-open": Made(file="open.mp4", encode=(*X265, "log-level=none:keyint=20:open-gop=1")),
    "prores": Made(file="prores.mov", rate="24", encode=("-c:v", "prores_ks")),
    "vp9": Made(
        file="vp9.webm", encode=("-c:v", "libvpx-vp9", "-deadline", "realtime", "-g", "30")
    ),
    "vp8": Made(file="vp8.webm", rate="25", encode=("-c:v", "libvpx", "-deadline", "realtime")),
    "with-sound": Made(file="sound.mp4", rate="25", after=("-i", "IT", *SOUND)),
    "late": Made(file="late.mp4", after=("-itsoffset", "0.5", "-i", "IT", *SOUND)),
    "late-off-grid": Made(file="off.mkv", after=("-itsoffset", "0.51", "-i", "IT", *SOUND)),
    "edited": Made(file="edit.mp4", encode=(*X264, "-g", "20"), after=("-ss", "0.5", "-i", "IT")),
}
DOUBTFUL = {
    "open-groups": Made(file="open.mp4", encode=(*X264, "-x264-params", "open-gop=1:keyint=20")),
    "refreshed": Made(file="ir.mp4", encode=(*X264, "-x264-params", "intra-refresh=1:keyint=20")),
    "irregular": Made(
        file="vfr.mp4", encode=("-vf", "select='mod(n,7)'", "-fps_mode", "vfr", *X264)
    ),
    "stream": Made(file="stream.ts"),
    "no-key-index": Made(file="mpeg4.avi", encode=("-c:v", "mpeg4", "-bf", "2")),
}
CLIPS = {**REGULAR, **DOUBTFUL}
FPS = [Fraction(text) for text in ("30", "25", "24", "15", "10", "60", "12", "20", "30000/1001")]


def pictures(count: int) -> bytes:
    """Frames as yuv420p, each with its number as bars: bit 0 leftmost."""
    bar = WIDTH // BITS
    shown = bytearray()
    for number in range(count):
        row = b"".join(bytes([235 if number >> bit & 1 else 16]) * bar for bit in range(BITS))
        shown += row * HEIGHT + bytes([128]) * (WIDTH * HEIGHT // 2)
    return bytes(shown)


def make(folder: Path, made: Made) -> Path:
    path = folder / made.file
    raw = ("-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{WIDTH}x{HEIGHT}", "-r", made.rate)
    ffmpeg = (ffmpeg_exe(), "-v", "error")
    encode = (*ffmpeg, *raw, "-i", "-", *made.encode, str(path))
    subprocess.run(encode, input=pictures(made.frames), check=True)
    if not made.after:
        return path
    copy = path.with_stem("copy")
    after = [str(path) if word == "IT" else word for word in made.after]
    subprocess.run([*ffmpeg, *after, "-c:v", "copy", str(copy)], check=True)
    return copy


class Source:
    """A clip with what the decoder makes of its ranges, each decoded once."""

    def __init__(self, folder: Path, made: Made) -> None:
        folder.mkdir()
        self._folder = folder
        self.path = str(make(folder, made))
        self.info: ClipInfo = clip.probe(self.path)
        self._decoder = decoder.Decoder(ffmpeg_exe(), "")
        self.decode = functools.cache(self._decode)

    def _decode(self, wanted: Range) -> list[bytes]:
        target = self._folder / f"{len(list(self._folder.iterdir()))}"
        target.mkdir()
        extraction.run(command.command(self._decoder, self.path, wanted, self.info), str(target))
        return [path.read_bytes() for path in sorted(target.iterdir())]


@pytest.fixture(scope="module")
def source_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Source]:
    base = tmp_path_factory.mktemp("cadence")
    return functools.cache(lambda name: Source(base / name, CLIPS[name]))


def draw(chosen: random.Random, rate: Fraction) -> tuple[Range, Range]:
    """A range and one that begins whole output frames later; most of them where cuts are made."""
    fps = chosen.choice([rate, rate, rate / 2, *FPS])
    grid = chosen.choice([rate, fps, fps, Fraction(1000)])
    begin = chosen.choice([Fraction(0), Fraction(chosen.randrange(0, int(grid))) / grid])
    later = begin + Fraction(chosen.randrange(0, int(1.5 * fps))) / fps
    kind = chosen.choice([FrameFormat.PNG, FrameFormat.JPG])

    def of(start: Fraction, *durations: Fraction | None) -> Range:
        return Range(
            start_s=start,
            duration_s=chosen.choice(durations),
            fps=fps,
            format=kind,
            quality=90 if kind is FrameFormat.JPG else None,
        )

    lengths = [
        Fraction(chosen.randrange(1, int(grid))) / grid for grid in (rate, fps, Fraction(999))
    ]
    return of(begin, None, None, later - begin + 1), of(later, None, *lengths)


def native(source: Source, first: int, frames: int | None) -> Range:
    """Source frames as they are, from `first` on."""
    rate = source.info.rate
    return Range(
        start_s=first / rate,
        duration_s=None if frames is None else frames / rate,
        fps=rate,
        format=FrameFormat.PNG,
        quality=None,
    )


def judge(source: Source, longer: Range, shorter: Range) -> bool:
    """Whether it is taken for a slice; where it is, it must be one."""
    offset = superset.sliceable(source.info, longer, shorter)
    if offset is None or not cadence.holds(source.path, source.info, longer, shorter, offset):
        return False
    outer = superset.kept(source.info, longer)
    assert outer is not None
    whole = source.decode(longer)
    if len(whole) != outer.count:
        return False  # as the slicer finds in the manifest
    alone = source.decode(shorter)
    assert alone == whole[offset.first : offset.first + offset.count], (longer, shorter, offset)
    return True


@pytest.mark.parametrize("name", CLIPS)
def test_what_is_cut_is_what_is_decoded_alone(
    name: str, source_of: Callable[[str], Source], request: pytest.FixtureRequest
) -> None:
    source, chosen = source_of(name), random.Random(name)
    tries = 400 if request.config.getoption("--nightly") else 6
    for _ in range(tries):
        judge(source, *draw(chosen, source.info.rate))


def test_an_aligned_range_is_taken(source_of: Callable[[str], Source]) -> None:
    """A condition that refuses everything would pass all the others."""
    for name in REGULAR.keys() - {"late", "late-off-grid", "edited"}:
        source = source_of(name)
        longer, shorter = native(source, 0, None), native(source, 24, 12)
        assert judge(source, longer, shorter), name


def test_a_clip_whose_pictures_come_late_is_cut_behind_its_first(
    source_of: Callable[[str], Source],
) -> None:
    source = source_of("late")
    assert source.info.start_s == Fraction(1, 2)
    assert judge(source, native(source, 15, None), native(source, 30, 12))
    assert not judge(source, native(source, 0, None), native(source, 30, 12))


@pytest.mark.parametrize(
    ("name", "first", "why"),
    [
        ("open-groups", 45, "a group that is not closed"),
        ("refreshed", 45, "pictures that are whole only after a second"),
        ("irregular", 24, "frames that are missing"),
        ("stream", 24, "a container without an index"),
        ("no-key-index", 24, "a codec that is not known to be sound"),
    ],
)
def test_what_is_not_known_to_be_sound_is_decoded(
    name: str, first: int, why: str, source_of: Callable[[str], Source]
) -> None:
    source = source_of(name)
    info = dataclasses.replace(source.info, variable_rate=False, rate=Fraction(30))
    longer, shorter = native(source, 0, None), native(source, first, 12)
    offset = superset.sliceable(info, longer, shorter)
    assert offset is not None
    assert not cadence.holds(source.path, info, longer, shorter, offset), why


def test_a_clip_that_is_gone_is_none_to_cut_from(source_of: Callable[[str], Source]) -> None:
    source = source_of("b-frames")
    longer, shorter = native(source, 0, None), native(source, 24, 12)
    offset = superset.sliceable(source.info, longer, shorter)
    assert offset is not None
    assert not cadence.holds(f"{source.path}.gone", source.info, longer, shorter, offset)


def test_half_a_tick_of_doubt_about_the_end_is_no_slice(source_of: Callable[[str], Source]) -> None:
    """Of Matroska's milliseconds the decoder made one frame more than the packet's length says."""
    source = source_of("milliseconds")
    longer = dataclasses.replace(
        native(source, 0, None), start_s=Fraction("0.392"), fps=Fraction(20)
    )
    shorter = dataclasses.replace(longer, start_s=Fraction("1.492"), duration_s=Fraction(859, 999))
    offset = superset.sliceable(source.info, longer, shorter)
    assert offset is not None
    assert len(source.decode(shorter)) == offset.count + 1
    assert not cadence.holds(source.path, source.info, longer, shorter, offset)
