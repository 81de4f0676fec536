"""Renders when something is wrong with the cache: the same frames, one warning a cause (D1)."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Delivery, Frames, Request, Result, extract, publish, space, staging

OpenCache = Callable[..., Cache]
STARTS = (0, "0.5", 1, "1.5")


@pytest.fixture
def requests(sdr: Path) -> list[Request]:
    """Four ranges of six frames that do not overlap, and the first one again."""
    ranges = [Request(clip=sdr, fps=30, start=start, duration="0.2") for start in STARTS]
    return [*ranges, ranges[0]]


@pytest.fixture
def pixels(requests: list[Request], tmp_path: Path) -> list[list[bytes]]:
    """What a cache that nothing is wrong with delivers."""
    with Cache.open(tmp_path / "sound") as sound, sound.render(requests) as result:
        return [data_of(item.frames) for item in result]


def data_of(frames: Frames | None) -> list[bytes]:
    assert frames is not None
    return [frames.read(index) for index in range(len(frames))]


def deliveries(result: Result) -> list[Delivery]:
    assert result.failed == []
    return [item.frames.delivery for item in result if item.frames is not None]


def data(result: Result) -> list[list[bytes]]:
    return [data_of(item.frames) for item in result]


def test_render_without_a_cache_delivers_the_same_and_leaves_nothing(
    requests: list[Request], pixels: list[list[bytes]], caplog: pytest.LogCaptureFixture
) -> None:
    off = Cache.open(environ={"UNTORN_CACHE_DIR": "off"})
    with off.render(requests, slots=2) as result:
        assert (deliveries(result), data(result)) == ([Delivery.UNCACHED] * 5, pixels)
        assert (result.phases.uncached, result.phases.deduplicated) == (4, 1)
    directories = [item.frames.directory for item in result if item.frames is not None]
    assert not any(os.path.exists(directory) for directory in directories)
    assert caplog.records == []


def test_root_that_cannot_be_used_means_uncached_and_one_warning(
    open_cache: OpenCache,
    sdr: Path,
    requests: list[Request],
    pixels: list[list[bytes]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with open_cache(sdr / "root").render(requests, slots=2) as result:
        assert (deliveries(result), data(result)) == ([Delivery.UNCACHED] * 5, pixels)
        assert len(result.phases.degraded) == 1
    assert len(caplog.records) == 1


def test_root_that_is_deleted_during_a_decode_means_the_same_frames(
    cache: Cache, requests: list[Request], decoder: Any, root: Path, pixels: list[list[bytes]]
) -> None:
    gone = root.parent / "gone"
    decoder.script(after=f"mkdir '{gone}' 2> '{gone}.log' && rm -rf '{root}'")
    with cache.render(requests, slots=2) as result:
        assert data(result) == pixels
        assert Delivery.UNCACHED in deliveries(result)
    with cache.render(requests) as result:
        assert data(result) == pixels
        assert Delivery.UNCACHED not in deliveries(result)


@pytest.mark.parametrize(
    ("module", "step"),
    [(staging, "make"), (staging, "_write_manifest"), (publish, "publish")],
    ids=["stage", "seal", "rename"],
)
def test_root_that_is_deleted_at_a_step_means_the_same_frames(
    cache: Cache,
    requests: list[Request],
    root: Path,
    pixels: list[list[bytes]],
    just_before: Callable[..., None],
    module: object,
    step: str,
) -> None:
    just_before(module, step, lambda: shutil.rmtree(root), call=2)
    with cache.render(requests, slots=1) as result:
        assert data(result) == pixels
        assert [item.origin for item in result][-1] == "shared"


def test_disk_that_is_promised_to_others_means_uncached_and_one_warning(
    cache: Cache,
    requests: list[Request],
    pixels: list[list[bytes]],
    key: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with cache.stage(key) as other:
        space.reserve(other.work, space.Need(size=1 << 60, files=1))  # type: ignore[arg-type]
        with cache.render(requests, slots=2) as result:
            assert (deliveries(result), data(result)) == ([Delivery.UNCACHED] * 5, pixels)
            assert result.phases.degraded == {"ENOSPC": 4}
    assert len(caplog.records) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize(
    ("module", "step"),
    [(staging, "make"), (staging, "seal"), (publish, "publish")],
    ids=["stage", "seal", "rename"],
)
def test_errno_at_a_step_means_the_same_frames_and_one_warning(
    cache: Cache,
    requests: list[Request],
    pixels: list[list[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    module: object,
    step: str,
    number: int,
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(module, step, fail)
    with cache.render(requests, slots=2) as result:
        assert data(result) == pixels
        assert not set(deliveries(result)) & {Delivery.HIT, Delivery.PUBLISHED}
        name = errno.errorcode[number]
        assert result.phases.publish_failures == result.phases.degraded == {name: 4}
    assert len(caplog.records) == 1
    monkeypatch.undo()


def test_hit_whose_frames_are_taken_is_extracted_again_with_the_others(
    cache: Cache, requests: list[Request], pixels: list[list[bytes]], decoder: Any
) -> None:
    with cache.render(requests) as result:
        entry = Path(result.items[1].frames.directory)  # type: ignore[union-attr]
    status = entry.stat()
    (entry / "frame_00001.png").unlink()
    os.utime(entry, ns=(status.st_atime_ns, status.st_mtime_ns))
    before = decoder.decodes()
    with cache.render(requests) as result:
        assert data(result) == pixels
        assert (result.phases.hits, result.phases.misses) == (3, {"damaged": 1})
    assert decoder.decodes() == before + 1


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize("slots", [1, 3])
def test_frames_that_are_taken_while_the_others_are_made_count_as_one_request(
    cache: Cache,
    requests: list[Request],
    pixels: list[list[bytes]],
    decoder: Any,
    just_before: Callable[..., None],
    root: Path,
    warm: bool,
    slots: int,
) -> None:
    """What was asked for counts once, and what was decoded as often as it was (O1)."""
    if warm:
        cache.render(requests).release()

    def take_one() -> None:
        shutil.rmtree(sorted((root / "v1").iterdir())[0])

    just_before(extract, "are_there", take_one)
    before = decoder.decodes()
    with cache.render(requests, slots=slots) as result:
        assert data(result) == pixels
        phases = result.phases
    assert (phases.hits, phases.misses) == ((4, {}) if warm else (0, {"absent": 4}))
    assert (phases.re_extracted, phases.deduplicated) == (1, 1)
    assert phases.extracted == phases.published == decoder.decodes() - before == (1 if warm else 5)


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_frames_that_are_found_again_are_a_hit_each_once(
    cache: Cache, requests: list[Request], monkeypatch: pytest.MonkeyPatch, warm: bool
) -> None:
    """A look at them fails, and they are there: what is answered as a hit is counted as one."""
    if warm:
        cache.render(requests).release()
    looks = iter([False])
    real = extract.are_there
    monkeypatch.setattr(extract, "are_there", lambda frames: next(looks, True) and real(frames))
    with cache.render(requests, slots=1) as result:
        phases = result.phases
        assert deliveries(result).count(Delivery.HIT) - phases.deduplicated == (4 if warm else 1)
    assert (phases.hits, phases.misses) == ((4, {}) if warm else (1, {"absent": 4}))
    assert (phases.re_extracted, phases.extracted) == (1, 0 if warm else 4)


def test_overlapping_ranges_that_are_taken_count_as_one_request_each(
    cache: Cache, sdr: Path, just_before: Callable[..., None], root: Path
) -> None:
    """They are decoded as one again."""
    overlapping = [Request(clip=sdr, fps=30, start=n, duration="0.4") for n in (0, "0.2")]
    just_before(extract, "are_there", lambda: shutil.rmtree(root))
    with cache.render(overlapping) as result:
        phases = result.phases
    assert (phases.hits, phases.misses, phases.re_extracted) == (0, {"absent": 2}, 2)
    assert (phases.supersets, phases.extracted) == (2, 2)


def test_render_of_which_every_item_fails_leaves_no_descriptor(
    cache: Cache, requests: list[Request], decoder: Any, descriptors: Callable[[], int]
) -> None:
    decoder.script(before="exit 1")
    before = descriptors()
    for _ in range(2):
        with cache.render(requests, slots=2) as result:
            assert len(result.failed) == 5
    del result
    assert descriptors() == before
