"""Renders of SDR and HDR sources: all frames of one kind, and none from the wrong entry (K5)."""

from pathlib import Path
from typing import Any

import pytest
from untorn import Frames, Item, KeyInputError, Request
from untorn.transform import Transform
from untorn_fixtures.clips import clip

pytestmark = pytest.mark.usefixtures("decoder")


def two(name: str, **changes: Any) -> Request:
    """Two frames of a recipe's clip."""
    return Request(**{"clip": clip(name), "fps": 30, "duration": "1/15", **changes})


def data_of(frames: Frames | None) -> list[bytes]:
    assert frames is not None
    return [frames.read(index) for index in range(len(frames))]


def data(item: Item) -> list[bytes]:
    assert item.error is None
    return data_of(item.frames)


@pytest.mark.parametrize("hdr_first", [True, False])
def test_one_cache_serves_renders_with_and_without_hdr_their_own_frames(
    render: Any, apart: Any, hdr_first: bool
) -> None:
    plain, converted = apart(two("sdr")), apart(two("sdr", transform=Transform.SDR_TO_PQ))
    assert plain != converted
    for with_hdr in (hdr_first, not hdr_first) * 2:
        result = render(two("sdr"), *[two("hdr10")] * with_hdr)
        assert data(result[0]) == (converted if with_hdr else plain)


def test_most_of_the_hdr_sources_decide_and_each_clip_has_one_voice(
    render: Any, apart: Any
) -> None:
    often = [two("hlg", start=start) for start in (0, "0.1", "0.2")]
    result = render(two("sdr"), *often, two("hdr10"))
    assert data(result[0]) == apart(two("sdr", transform=Transform.SDR_TO_PQ))
    result = render(two("sdr"), two("hlg"))
    assert data(result[0]) == apart(two("sdr", transform=Transform.SDR_TO_HLG))


def test_hdr_sources_keep_their_kind_and_a_mix_is_said(
    render: Any, apart: Any, caplog: pytest.LogCaptureFixture
) -> None:
    result = render(two("hlg"), two("hdr10"))
    assert [data(item) for item in result] == [apart(two("hlg")), apart(two("hdr10"))]
    assert [record.getMessage() for record in caplog.records] == [
        "PQ and HLG sources meet in one render: each of them keeps its kind"
    ]


def test_tone_mapping_converts_hdr_sources_alone(render: Any, apart: Any) -> None:
    result = render(two("sdr"), two("hdr10"), tone_map=True)
    to_sdr = two("hdr10", transform=Transform.HDR_TO_SDR)
    assert [data(item) for item in result] == [apart(two("sdr")), apart(to_sdr)]


def test_request_with_a_transform_of_its_own_neither_changes_nor_votes(
    render: Any, apart: Any
) -> None:
    own = two("hdr10", transform=Transform.HDR_TO_SDR)
    result = render(two("sdr"), own)
    assert [data(item) for item in result] == [apart(two("sdr")), apart(own)]


def test_request_that_cannot_be_converted_is_named_and_the_others_are_delivered(
    render: Any, apart: Any
) -> None:
    result = render(two("sdr", format="jpg"), two("sdr"), two("hdr10"))
    assert [item.index for item in result.failed] == [0]
    assert isinstance(result[0].error, KeyInputError)
    assert data(result[2]) == apart(two("hdr10"))


def test_clip_that_is_no_video_has_no_voice(render: Any, apart: Any, tmp_path: Path) -> None:
    (tmp_path / "hdr.mp4").write_bytes(clip("hdr10").read_bytes()[:100])
    result = render(two("sdr"), Request(clip=tmp_path / "hdr.mp4", fps=30))
    assert data(result[0]) == apart(two("sdr"))
    assert [item.index for item in result.failed] == [1]
