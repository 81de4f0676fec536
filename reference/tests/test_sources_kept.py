"""What is kept of sources: nothing of one that changes; a hit asks nothing of its clip (K3, X1)."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Delivery, Frames, Identity, Request, SourceChangedError, probes
from untorn import clip as clips
from untorn_fixtures.clips import clip

SIX: dict[str, Any] = {"fps": 30, "duration": "0.2"}
FINAL: dict[str, Any] = {"fps": 30, "final_frame": True}
SAME_SIZE = (
    "touch -r '{clip}' '{clip}.was'; printf x | dd of='{clip}' conv=notrunc status=none bs=1 "
    "seek=$(($(stat -c %s '{clip}') - 1)); "
    "touch -r '{clip}.was' '{clip}'"
)

pytestmark = pytest.mark.usefixtures("decoder")


def data_of(frames: Frames) -> list[bytes]:
    return [frames.read(index) for index in range(len(frames))]


@pytest.mark.parametrize("name", ["vfr", "rotated", "alpha_vp9"])
@pytest.mark.parametrize("wanted", [SIX, FINAL], ids=["range", "final"])
@pytest.mark.parametrize(
    "change",
    [
        "echo more >> '{clip}'",
        "touch -r '{clip}' '{clip}.was'; echo more >> '{clip}'; touch -r '{clip}.was' '{clip}'",
        SAME_SIZE,
    ],
    ids=["append", "append, mtime restored", "same size, mtime restored"],
)
def test_clip_that_changes_is_not_published(
    cache: Cache,
    tmp_path: Path,
    decoder: Any,
    empty: Callable[[], bool],
    name: str,
    wanted: dict[str, Any],
    change: str,
) -> None:
    copy = shutil.copyfile(clip(name), tmp_path / f"copy{clip(name).suffix}")
    decoder.script(after=change.format(clip=copy))
    with pytest.raises(SourceChangedError):
        cache.extract(Request(clip=copy, **wanted))
    assert empty()


def test_clip_that_was_rewritten_in_secret_is_found_out_by_content(
    cache: Cache, tmp_path: Path
) -> None:
    """Same path, size and mtime, other pictures: a key by content has another entry for it."""
    copy = tmp_path / "copy.mkv"
    request = Request(clip=copy, identity=Identity.CONTENT, **FINAL)
    data = clip("vfr_matroska").read_bytes()
    copy.write_bytes(data)
    status = copy.stat()
    with cache.extract(request) as before:
        other = clip("vp8").read_bytes()
        copy.write_bytes(other.ljust(len(data), b"\0")[: len(data)])
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert copy.stat().st_size == status.st_size
        with cache.extract(request) as after:
            assert (after.delivery, after.key != before.key) == (Delivery.PUBLISHED, True)
            with cache.extract(Request(clip=clip("vp8"), **FINAL)) as right:
                assert data_of(after) == data_of(right) != data_of(before)


@pytest.mark.parametrize("name", ["vfr", "alpha_vp9", "rotated"])
@pytest.mark.parametrize("wanted", [SIX, FINAL], ids=["range", "final"])
def test_hit_needs_no_look_into_the_clip(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, name: str, wanted: dict[str, Any]
) -> None:
    request = Request(clip=clip(name), **wanted)
    cache.extract(request).release()

    def looked(*_arguments: object) -> None:
        raise AssertionError("a hit looked into its clip")

    monkeypatch.setattr(clips, "probe", looked)
    monkeypatch.setattr(probes, "probe", looked)
    with cache.extract(request) as frames:
        assert frames.delivery is Delivery.HIT


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("vfr", {"start": "0.9", "duration": "0.2"}),
        ("vfr_matroska", {"start": "0.5", "duration": 1}),
        ("sdr", {"start": "0.5", "duration": "0.5", "final_frame": True}),
        ("vfr", {"final_frame": True}),
        ("alpha_vp9", {"start": "0.2", "duration": "0.2"}),
        ("rotated", {"start": "0.2", "duration": "0.2"}),
    ],
)
def test_range_after_the_whole_clip_is_as_if_alone(
    cache: Cache, name: str, wanted: dict[str, Any]
) -> None:
    """Whether or not it is cut out of the longer entry."""
    cache.extract(Request(clip=clip(name), fps=25)).release()
    request = Request(clip=clip(name), fps=25, **wanted)
    uncached = Cache.open(environ={"UNTORN_CACHE_DIR": "off"})
    with cache.extract(request) as after, uncached, uncached.extract(request) as alone:
        assert data_of(after) == data_of(alone)
