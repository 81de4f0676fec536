"""Extract of clips that are no clip, or that do not hold still (K3)."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn import (
    Cache,
    ClipError,
    DecoderError,
    Delivery,
    Frames,
    Request,
    SourceChangedError,
)
from untorn_fixtures.clips import clip, ffmpeg_exe

Child = Callable[..., Any]


def short(path: Path | str) -> Request:
    """Six frames."""
    return Request(clip=path, fps=30, duration="0.2")


def data_of(frames: Frames) -> list[bytes]:
    return [frames.read(index) for index in range(len(frames))]


def missing(folder: Path) -> str:
    return str(folder / "missing.mp4")


def directory(folder: Path) -> str:
    return str(folder)


def nothing_in_it(folder: Path) -> str:
    (folder / "empty.mp4").touch()
    return str(folder / "empty.mp4")


def fifo(folder: Path) -> str:
    os.mkfifo(folder / "fifo.mp4")
    return str(folder / "fifo.mp4")


def no_path(_folder: Path) -> str:
    return "a\0b.mp4"


def loop(folder: Path) -> str:
    (folder / "loop.mp4").symlink_to("loop.mp4")
    return str(folder / "loop.mp4")


def text(_folder: Path) -> str:
    return str(clip("not_a_video"))


def headless(_folder: Path) -> str:
    return str(clip("headless"))


def audio_only(_folder: Path) -> str:
    return str(clip("audio_only"))


@pytest.mark.parametrize(
    "make",
    [missing, directory, nothing_in_it, fifo, no_path, loop, text, headless, audio_only],
    ids=lambda make: make.__name__,
)
@pytest.mark.usefixtures("decoder")
def test_what_is_no_video_is_a_clip_error_and_nothing_is_left(
    cache: Cache, tmp_path: Path, empty: Callable[[], bool], make: Callable[[Path], str]
) -> None:
    with pytest.raises(ClipError):
        cache.extract(short(make(tmp_path)))
    assert empty()


@pytest.mark.usefixtures("decoder")
def test_range_that_starts_past_the_end_is_a_clip_error(cache: Cache, sdr: Path) -> None:
    with pytest.raises(ClipError, match="ends at 2 s"):
        cache.extract(Request(clip=sdr, fps=30, start=2))


@pytest.mark.usefixtures("decoder")
def test_truncated_clip_is_a_decoder_error_and_publishes_nothing(
    cache: Cache, empty: Callable[[], bool]
) -> None:
    with pytest.raises(DecoderError):
        cache.extract(Request(clip=clip("truncated"), fps=30))
    assert empty()


def test_clip_that_may_not_be_read_is_a_clip_error(
    child: Child, open_path: Path, nobody: int
) -> None:
    (open_path / "secret.mp4").write_bytes(clip("sdr").read_bytes())
    (open_path / "secret.mp4").chmod(0)
    one = child(
        """
cache = Cache.open(sys.argv[1] + "/root")
try: cache.extract(untorn.Request(clip=sys.argv[1] + "/secret.mp4", fps=1))
except ClipError as error: say(error)
""",
        open_path,
        uid=nobody,
        UNTORN_FFMPEG=ffmpeg_exe(),
    )
    assert one.heard().endswith("Permission denied")


def test_clip_that_changes_under_the_decoder_twice_is_never_published(
    cache: Cache, sdr: Path, decoder: Any, empty: Callable[[], bool]
) -> None:
    decoder.script(after=f"echo more >> '{sdr}'")
    with pytest.raises(SourceChangedError):
        cache.extract(short(sdr))
    assert (decoder.decodes(), empty()) == (2, True)
    assert cache.stats().counters["source_changed"] == 2


def test_clip_that_changes_once_is_extracted_as_it_is_then(
    cache: Cache, sdr: Path, decoder: Any, expected: list[bytes]
) -> None:
    decoder.script(after=f"[ -e '{sdr}.done' ] || {{ echo more >> '{sdr}'; touch '{sdr}.done'; }}")
    with cache.extract(short(sdr)) as frames:
        assert (frames.delivery, data_of(frames)) == (Delivery.PUBLISHED, expected)
        with cache.extract(short(sdr)) as again:
            assert (again.delivery, again.key) == (Delivery.HIT, frames.key)


@pytest.mark.parametrize(
    "change",
    [
        "touch -d 2001-01-01 '{clip}'",
        "cp '{clip}' '{clip}.new'; mv '{clip}.new' '{clip}'",
        "rm '{clip}'",
        "chmod 0600 '{clip}'; chmod 0644 '{clip}'",
    ],
    ids=["mtime", "inode", "removed", "ctime"],
)
def test_every_kind_of_change_is_noticed(
    cache: Cache, sdr: Path, decoder: Any, empty: Callable[[], bool], change: str
) -> None:
    decoder.script(after=change.format(clip=sdr))
    with pytest.raises(ClipError):
        cache.extract(short(sdr))
    assert empty()


def test_decoder_that_fails_on_a_changing_clip_is_the_clips_error(
    cache: Cache, sdr: Path, decoder: Any
) -> None:
    decoder.script(before=f"echo more >> '{sdr}'; exit 1")
    with pytest.raises(SourceChangedError):
        cache.extract(short(sdr))
