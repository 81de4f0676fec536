"""Clips that are not what they seem: covers that come first, lists of files, unknown codecs."""

import _thread
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, ClipError, Origin, Request, UntornError
from untorn import clip as clips
from untorn.cancel import Cancel
from untorn_fixtures.clips import clip, ffmpeg_exe


def run_ffmpeg(*arguments: str | Path) -> None:
    command = [
        ffmpeg_exe(),
        "-nostdin",
        "-v",
        "error",
        "-y",
        *[os.fspath(each) for each in arguments],
    ]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def boxes(data: bytes) -> list[bytes]:
    """The boxes of an MP4 file, or of a box without its header."""
    found, place = [], 0
    while place < len(data):
        (size,) = struct.unpack_from(">I", data, place)
        found.append(data[place : place + size])
        place += size
    return found


@pytest.fixture
def cover_first(tmp_path: Path) -> Path:
    """A clip whose blue cover is the first of its pictures; no sample moves."""
    made, cover = tmp_path / "cover.mp4", tmp_path / "cover.png"
    run_ffmpeg("-f", "lavfi", "-i", "color=blue:size=320x180", "-frames:v", "1", cover)
    run_ffmpeg(
        "-i", clip("vfr"), "-i", cover, "-map", "0:v", "-map", "1", "-c", "copy",
        "-disposition:v:1", "attached_pic", "-movflags", "+faststart", made,
    )  # fmt: skip
    top = boxes(made.read_bytes())
    place = next(index for index, box in enumerate(top) if box[4:8] == b"moov")
    inner = boxes(top[place][8:])
    inner.sort(key=lambda box: {b"mvhd": 0, b"udta": 1}.get(box[4:8], 2))
    top[place] = top[place][:8] + b"".join(inner)
    made.write_bytes(b"".join(top))
    return made


@pytest.mark.parametrize("wanted", [{"duration": "1/20"}, {}], ids=["short", "whole"])
def test_cover_that_comes_first_is_not_the_video(
    cache: Cache, cover_first: Path, wanted: dict[str, Any]
) -> None:
    with (
        cache.extract(Request(clip=cover_first, fps=20, **wanted)) as frames,
        cache.extract(Request(clip=clip("vfr"), fps=20, **wanted)) as right,
    ):
        assert len(frames) == len(right)
        assert [frames.read(n) for n in range(len(frames))] == [
            right.read(n) for n in range(len(right))
        ]


def test_list_of_other_files_is_no_clip(cache: Cache, tmp_path: Path) -> None:
    """What it shows changes with files that no key knows."""
    shutil.copy(clip("sdr"), tmp_path / "a.mp4")
    listed = tmp_path / "list.mp4"
    listed.write_text("ffconcat version 1.0\nfile a.mp4\n")
    with pytest.raises(ClipError, match="list of other files"):
        cache.extract(Request(clip=listed, fps=5))


def test_clip_of_an_unknown_codec_fails_alone(cache: Cache, tmp_path: Path) -> None:
    unknown = tmp_path / "unknown.mp4"
    unknown.write_bytes(clip("sdr").read_bytes().replace(b"avc1", b"zzzz"))
    wanted = [Request(clip=each, fps=5, duration=1) for each in (unknown, clip("sdr"))]
    with cache.render(wanted) as result:
        assert [item.origin for item in result] == [Origin.FAILED, Origin.EXTRACTED]
        assert isinstance(result[0].error, ClipError)


def test_render_without_a_thread_to_spare_says_so(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_arguments: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", none_left)
    with pytest.raises(UntornError, match="a render cannot start: can't start new thread"):
        cache.render([Request(clip=clip("sdr"), fps=5)])


def test_content_is_read_once_however_many_ranges_are_asked_for(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, read = shutil.copy(clip("sdr"), tmp_path / "read-once.mp4"), list[str]()
    real = clips._content_sha256

    def noted(path: str, cancel: Cancel) -> str:
        read.append(path)
        return real(path, cancel)

    monkeypatch.setattr(clips, "_content_sha256", noted)
    wanted = [
        Request(clip=copy, fps=5, start=start, duration="0.2", identity="content")
        for start in (0, 1)
    ]
    cache.render(wanted).release()
    assert read == [str(copy)]
