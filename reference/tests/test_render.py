"""A render: an item for each request, equal ones done once, and none harmed by another (K6)."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn import (
    Cache,
    ClipError,
    ConfigError,
    DecoderError,
    Delivery,
    Frames,
    Identity,
    Item,
    KeyInputError,
    Origin,
    Request,
    UntornError,
)

OpenCache = Callable[..., Cache]


def short(path: Path | str, **changes: Any) -> Request:
    """A fifth of a second: six frames at 30 a second."""
    return Request(**{"clip": path, "fps": 30, "duration": "0.2", **changes})


def data_of(frames: Frames) -> list[bytes]:
    return [frames.read(index) for index in range(len(frames))]


def frames_of(item: Item) -> Frames:
    assert item.error is None
    assert item.frames is not None
    return item.frames


@pytest.fixture
def requests(sdr: Path) -> list[Request]:
    """Four ranges of one clip that do not overlap."""
    return [short(sdr, start=f"0.{n}") for n in (0, 3, 6, 9)]


# --- items


@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize("slots", [1, 3])
def test_items_are_in_the_order_of_the_requests_and_each_has_its_own_frames(
    render: Any, requests: list[Request], apart: Any, slots: int
) -> None:
    result = render(*reversed(requests), slots=slots)
    assert [item.index for item in result] == [0, 1, 2, 3]
    assert [item.request for item in result] == requests[::-1]
    assert [data_of(frames_of(item)) for item in result] == [apart(r) for r in requests[::-1]]


def test_second_render_is_all_hits_and_starts_no_decoder(
    render: Any, requests: list[Request], decoder: Any
) -> None:
    first = render(*requests)
    second = render(*requests)
    assert decoder.decodes() == 4
    assert {item.origin for item in first} == {Origin.EXTRACTED}
    assert {item.origin for item in second} == {Origin.HIT}
    assert [frames_of(i).paths for i in first] == [frames_of(i).paths for i in second]


def test_render_of_nothing_is_empty(render: Any, decoder: Any) -> None:
    result = render()
    assert (len(result), result.phases.hits, decoder.decodes()) == (0, 0, 0)


@pytest.mark.parametrize("slots", [0, -1])
def test_slots_that_mean_nothing_are_refused(cache: Cache, slots: int) -> None:
    with pytest.raises(ConfigError, match="slots"):
        cache.render([], slots=slots)


def test_decoder_that_does_not_run_is_the_renders_error(
    cache: Cache, sdr: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNTORN_FFMPEG", "/nowhere/ffmpeg")
    with pytest.raises(DecoderError, match="nowhere"):
        cache.render([short(sdr)])


# --- one among others


@pytest.mark.usefixtures("decoder")
def test_bad_requests_are_named_and_the_good_ones_are_delivered(
    render: Any, sdr: Path, tmp_path: Path, apart: Any
) -> None:
    (tmp_path / "empty.mp4").touch()
    bad: list[tuple[Request, type[UntornError], str]] = [
        (short(tmp_path / "missing.mp4"), ClipError, "missing.mp4"),
        (short(tmp_path / "empty.mp4"), ClipError, "empty.mp4"),
        (short(sdr, fps=0), KeyInputError, "fps"),
        (short(sdr, start=99), ClipError, "starts at 99 s"),
    ]
    result = render(short(sdr), *[request for request, _, _ in bad], short(sdr, start=1))
    for item, (request, kind, words) in zip(result.items[1:5], bad, strict=True):
        assert (item.request, item.frames, item.origin) == (request, None, Origin.FAILED)
        assert isinstance(item.error, kind)
        assert words in str(item.error)
    assert result.failed == list(result.items[1:5])
    for item in (result[0], result[5]):
        assert data_of(frames_of(item)) == apart(item.request)


def test_clip_that_the_decoder_fails_on_does_not_harm_the_others(
    render: Any, sdr: Path, decoder: Any, apart: Any, root: Path
) -> None:
    bad = Path(shutil.copyfile(sdr, sdr.with_name("bad.mp4")))
    decoder.script(before=f'case "$*" in *{bad}*) echo spoilt >&2; exit 3;; esac')
    result = render(short(sdr), short(bad), short(bad), short(sdr, start=1), slots=3)
    for item in result.failed:
        assert isinstance(item.error, DecoderError)
        assert "spoilt" in str(item.error)
    assert [item.index for item in result.failed] == [1, 2]
    assert [data_of(frames_of(result[n])) for n in (0, 3)] == [
        apart(result[n].request) for n in (0, 3)
    ]
    assert list((root / "staging").iterdir()) == []


def test_clip_that_is_deleted_during_the_render_fails_alone(
    render: Any, sdr: Path, decoder: Any
) -> None:
    gone = Path(shutil.copyfile(sdr, sdr.with_name("gone.mp4")))
    decoder.script(before=f"rm -f '{gone}'")
    result = render(short(sdr), short(gone), slots=1)
    assert data_of(frames_of(result[0]))
    assert isinstance(result[1].error, ClipError)


# --- equal requests


def test_equal_requests_are_extracted_once(render: Any, sdr: Path, decoder: Any) -> None:
    link = sdr.with_name("link.mp4")
    link.symlink_to(sdr)
    result = render(
        short(sdr), short(sdr, fps="30/1"), short(link, start=0.0), short(str(sdr), duration=0.2)
    )
    assert decoder.decodes() == 1
    assert [item.origin for item in result] == [Origin.EXTRACTED] + [Origin.SHARED] * 3
    assert [item.leader for item in result] == [None, 0, 0, 0]
    assert len({frames_of(item).directory for item in result}) == 1
    assert result.phases.deduplicated == 3


AXES: list[dict[str, Any]] = [
    {"start": "0.1"},
    {"duration": "0.1"},
    {"duration": None},
    {"fps": 15},
    {"fps": "29.97"},
    {"format": "jpg"},
    {"format": "jpg", "quality": 40},
    {"identity": Identity.CONTENT},
]


def test_requests_that_differ_in_one_axis_are_never_merged(
    render: Any, sdr: Path, decoder: Any, apart: Any
) -> None:
    other = Path(shutil.copyfile(sdr, sdr.with_name("other.mp4")))
    requests = [short(sdr), short(other), *[short(sdr, **axis) for axis in AXES]]
    result = render(*requests, *requests, slots=2)
    phases = result.phases
    assert phases.deduplicated == len(requests)
    assert decoder.decodes() - phases.supersets + phases.sliced == len(requests)
    assert len({frames_of(item).key for item in result}) == len(requests)
    expected = [apart(request) for request in requests]
    assert [data_of(frames_of(item)) for item in result] == expected * 2


def test_copies_are_equal_where_content_is_the_identity(
    render: Any, sdr: Path, decoder: Any
) -> None:
    copy = shutil.copyfile(sdr, sdr.with_name("copy.mp4"))
    result = render(*[short(path, identity=Identity.CONTENT) for path in (sdr, copy)])
    assert (decoder.decodes(), result[1].leader) == (1, 0)


@pytest.mark.parametrize("where", ["entry", "staging", "outside"])
def test_frames_of_equal_requests_are_there_until_the_last_is_released(
    open_cache: OpenCache, sdr: Path, decoder: Any, where: str
) -> None:
    budget = {"entry": None, "staging": 1, "outside": None}[where]
    cache = open_cache(budget_bytes=budget, min_age_s=0)
    if where == "outside":
        cache = Cache.open(environ={"UNTORN_CACHE_DIR": "off"})
    result = cache.render([short(sdr)] * 3)
    assert decoder.decodes() == 1
    held = [frames_of(item) for item in result]
    expected = data_of(held[0])
    for _ in range(2):
        frames = held.pop(0)
        frames.release()
        frames.release()
        assert (frames.released, held[0].released) == (True, False)
        cache.collect(budget_bytes=0, min_age_s=0)
        assert data_of(held[-1]) == expected
    held.pop().release()
    cache.collect(budget_bytes=0, min_age_s=0)
    assert not Path(frames.directory).exists()


def test_equal_requests_that_fail_are_all_told(render: Any, sdr: Path, decoder: Any) -> None:
    decoder.script(before="exit 3")
    result = render(short(sdr), short(sdr))
    assert [str(item.error) for item in result] == [str(result[0].error)] * 2
    assert isinstance(result[1].error, DecoderError)
    assert (result[1].leader, decoder.decodes()) == (0, 1)


def test_release_of_the_result_releases_all_and_leaves_no_descriptor(
    cache: Cache, requests: list[Request], decoder: Any, descriptors: Callable[[], int]
) -> None:
    before = descriptors()
    result = cache.render([*requests, requests[0]])
    result.release()
    result.release()
    assert all(frames_of(item).released for item in result)
    assert (descriptors(), decoder.decodes()) == (before, 4)


# --- ranges that overlap


def test_overlapping_ranges_are_decoded_once_and_each_has_its_own_frames(
    render: Any, sdr: Path, decoder: Any, apart: Any
) -> None:
    overlapping = [("0.4", "0.4"), ("0.2", "0.4"), ("0.7", "0.2")]
    requests = [short(sdr, start=start, duration=duration) for start, duration in overlapping]
    result = render(*requests, short(sdr, start="1.5"), requests[1], slots=2)
    assert decoder.decodes() == result.phases.extracted == 2
    assert (result.phases.supersets, result.phases.sliced) == (1, 3)
    origins = [Origin.SLICED] * 3 + [Origin.EXTRACTED, Origin.SHARED]
    assert [item.origin for item in result] == origins
    assert [data_of(frames_of(item)) for item in result] == [apart(i.request) for i in result]
    assert sum(result.phases.misses.values()) == 4


@pytest.mark.parametrize(
    "script",
    ["case $* in *-t\\ 0.700000*) exit 1;; esac", "case $* in *-t\\ 0.700000*) kill -9 $$;; esac"],
    ids=["fails", "is killed"],
)
def test_overlapping_ranges_whose_pass_fails_are_extracted_one_by_one(
    render: Any, sdr: Path, decoder: Any, apart: Any, script: str
) -> None:
    decoder.script(before=script)
    requests = [short(sdr, start=start, duration="0.4") for start in ("0.2", "0.5")]
    result = render(*requests)
    assert [item.origin for item in result] == [Origin.EXTRACTED] * 2
    assert [data_of(frames_of(item)) for item in result] == [apart(i.request) for i in result]
    assert (decoder.decodes() - 2, result.phases.extracted) == (3, 2)


def test_overlapping_ranges_of_which_the_decoder_fails_each_have_their_error(
    render: Any, sdr: Path, decoder: Any, root: Path
) -> None:
    decoder.script(before="exit 1")
    result = render(*[short(sdr, start=start, duration="0.4") for start in ("0.2", "0.5")])
    assert [type(item.error) for item in result] == [DecoderError] * 2
    assert (decoder.decodes(), list((root / "staging").iterdir())) == (3, [])


# --- progress


@pytest.mark.usefixtures("decoder")
def test_progress_of_each_item_rises_to_its_number_of_frames(
    render: Any, requests: list[Request]
) -> None:
    render(requests[1])
    seen: dict[int, list[tuple[int, int | None]]] = {}
    render(
        *requests,
        requests[0],
        slots=3,
        progress=lambda index, *now: seen.setdefault(index, []).append(now),
    )
    assert sorted(seen) == [0, 1, 2, 3, 4]
    assert seen[1] == [(6, 6)]
    for told in seen.values():
        assert told == sorted(told)
        assert told[-1] == (6, 6)


def test_progress_of_ranges_that_are_decoded_as_one_is_each_ones_own(
    render: Any, sdr: Path, decoder: Any
) -> None:
    seen: dict[int, list[tuple[int, int | None]]] = {0: [], 1: []}
    requests = [short(sdr, start="0.2", duration="0.4"), short(sdr, start="0.5", duration="0.2")]
    render(*requests, progress=lambda index, *now: seen[index].append(now))
    assert decoder.decodes() == 1
    for told, count in zip(seen.values(), (12, 6), strict=True):
        assert told == sorted(told)
        assert told[-2:] == [(count, count)] * 2  # by the decoder's end, and by the item's


@pytest.mark.parametrize("kind", [RuntimeError, OSError, ClipError])
def test_progress_that_raises_ends_the_render_and_leaves_nothing(
    cache: Cache,
    requests: list[Request],
    decoder: Any,
    empty: Callable[[], bool],
    kind: type[Exception],
    caplog: pytest.LogCaptureFixture,
) -> None:
    def stop(*_now: object) -> None:
        raise kind("enough")

    with pytest.raises(kind, match="enough"):
        cache.render(requests, slots=2, progress=stop)
    cache.collect(budget_bytes=0, min_age_s=0)
    assert empty()
    assert decoder.decodes() <= 2
    assert caplog.records == []  # it is no trouble of the cache's, whatever its kind


@pytest.mark.usefixtures("decoder")
def test_delivery_of_shared_frames_is_their_leaders(render: Any, sdr: Path) -> None:
    result = render(short(sdr), short(sdr))
    assert [frames_of(item).delivery for item in result] == [Delivery.PUBLISHED] * 2


def test_default_is_half_of_the_processors_that_may_be_used(child: Callable[..., Any]) -> None:
    one = child("from untorn.render import default_slots; say(default_slots())")
    assert int(one.heard()) == max(1, len(os.sched_getaffinity(0)) // 2)
    bound = child(
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from untorn.render import default_slots; say(default_slots())"
    )
    assert bound.heard() == "1"
