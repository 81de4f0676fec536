"""Extract: exact frames of a clip, decoded once and then found (K, P7, X1)."""

import os
import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from untorn import Cache, Delivery, Frames, Identity, KeyInputError, Request, flight
from untorn_fixtures.clips import clip, ffmpeg_exe
from untorn_fixtures.errors import FixtureError
from untorn_fixtures.real import real_clip

OpenCache = Callable[..., Cache]


@pytest.fixture
def sdr(tmp_path: Path) -> Path:
    """A copy of the plain clip: 60 frames, 30 a second."""
    return Path(shutil.copyfile(clip("sdr"), tmp_path / "sdr.mp4"))


def short(path: Path | str | bytes, **changes: Any) -> Request:
    """A fifth of a second: six frames at 30 a second."""
    return Request(**{"clip": path, "fps": 30, "duration": "0.2", **changes})


def data_of(frames: Frames) -> list[bytes]:
    return [frames.read(index) for index in range(len(frames))]


def test_second_request_is_a_hit_on_the_first_ones_entry(
    cache: Cache, sdr: Path, decoder: Any
) -> None:
    with cache.extract(short(sdr)) as first, cache.extract(short(sdr)) as second:
        assert (first.delivery, second.delivery) == (Delivery.PUBLISHED, Delivery.HIT)
        assert first.paths == second.paths
        assert decoder.decodes() == 1
        assert first.names == tuple(f"frame_{n:05d}.png" for n in range(1, 7))


def test_published_frames_say_why_they_were_no_hit(cache: Cache, sdr: Path, decoder: Any) -> None:
    with cache.extract(short(sdr)) as frames:
        assert frames.miss is not None
        assert (frames.miss.reason, frames.failure) == ("absent", None)
    assert decoder.decodes() == 1


@pytest.mark.parametrize(
    ("name", "fps", "count"),
    [
        ("sdr", 30, 60),
        ("sdr", 15, 30),
        ("sdr", "30000/1001", 60),
        ("ntsc", Fraction(30000, 1001), 60),
        ("ntsc", "29.97", 60),
    ],
)
@pytest.mark.usefixtures("decoder")
def test_frames_are_as_many_as_the_rate_says(cache: Cache, name: str, fps: Any, count: int) -> None:
    with cache.extract(Request(clip=clip(name), fps=fps, format="jpg")) as frames:
        assert len(frames) == count


@pytest.mark.usefixtures("decoder")
def test_rates_that_round_alike_do_not_share_an_entry(cache: Cache, sdr: Path) -> None:
    rates = ["29.97", "30000/1001", 29.97003]
    keys = set()
    for fps in rates:
        with cache.extract(short(sdr, fps=fps)) as frames:
            keys.add(frames.key)
    assert len(keys) == len(rates)


@pytest.mark.usefixtures("decoder")
def test_range_is_the_same_frames_as_in_the_whole_clip(cache: Cache, sdr: Path) -> None:
    with (
        cache.extract(Request(clip=sdr, fps=30)) as whole,
        cache.extract(Request(clip=sdr, fps=30, start=1, duration="0.5")) as part,
    ):
        assert data_of(part) == data_of(whole)[30:45]


@pytest.mark.usefixtures("decoder")
def test_range_past_the_end_stops_at_the_end(cache: Cache, sdr: Path) -> None:
    with cache.extract(Request(clip=sdr, fps=30, start="1.9", duration=100)) as frames:
        assert len(frames) == 3


@pytest.mark.usefixtures("decoder")
def test_quality_of_jpg_is_part_of_the_key(cache: Cache, sdr: Path) -> None:
    with (
        cache.extract(short(sdr, format="jpg")) as fine,
        cache.extract(short(sdr, format="jpg", quality=95)) as same,
        cache.extract(short(sdr, format="jpg", quality=40)) as coarse,
    ):
        assert fine.key == same.key != coarse.key
        assert sum(map(len, data_of(fine))) > sum(map(len, data_of(coarse)))


def test_quality_of_png_is_refused(cache: Cache, sdr: Path) -> None:
    with pytest.raises(KeyInputError, match="lossless"):
        cache.extract(short(sdr, quality=95))


@pytest.mark.parametrize(
    "changes",
    [
        {"fps": 0},
        {"fps": "nan"},
        {"fps": -30},
        {"start": -1},
        {"start": float("inf")},
        {"duration": 0},
        {"format": "gif"},
        {"format": "jpg", "quality": 0},
        {"format": "jpg", "quality": 9.5},
    ],
    ids=str,
)
def test_request_that_means_nothing_is_refused(
    cache: Cache, sdr: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(KeyInputError):
        cache.extract(short(sdr, **changes))


@pytest.mark.usefixtures("decoder")
def test_copy_shares_the_entry_where_content_is_the_identity(cache: Cache, sdr: Path) -> None:
    copy = shutil.copyfile(sdr, sdr.with_name("copy.mp4"))
    by_content = [short(path, identity=Identity.CONTENT) for path in (sdr, copy)]
    with cache.extract(by_content[0]) as one, cache.extract(by_content[1]) as two:
        assert (one.key, two.delivery) == (two.key, Delivery.HIT)
    with cache.extract(short(sdr)) as one, cache.extract(short(copy)) as two:
        assert one.key != two.key


@pytest.mark.usefixtures("decoder")
def test_clip_that_was_written_again_has_another_key(cache: Cache, sdr: Path) -> None:
    with cache.extract(short(sdr)) as before:
        os.utime(sdr, (1, 1))
        with cache.extract(short(sdr)) as after:
            assert before.key != after.key


@pytest.mark.usefixtures("decoder")
def test_symlink_shares_the_entry_of_its_clip(cache: Cache, sdr: Path) -> None:
    sdr.with_name("link.mp4").symlink_to(sdr)
    with cache.extract(short(sdr)) as one, cache.extract(short(sdr.with_name("link.mp4"))) as two:
        assert one.key == two.key


@pytest.mark.parametrize("name", [b"\xff\xfe.mp4", b"a b%05d.mp4", b"-i.mp4", b"a:b?c=d.mp4"])
@pytest.mark.usefixtures("decoder")
def test_any_name_of_a_clip_works(cache: Cache, sdr: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(sdr.parent), name)
    os.rename(sdr, path)
    with cache.extract(short(path)) as frames:
        assert len(frames) == 6


@pytest.mark.usefixtures("decoder")
def test_clip_with_a_title_in_another_encoding_works(cache: Cache, sdr: Path) -> None:
    titled = sdr.with_name("titled.avi")
    command: list[Any] = [
        ffmpeg_exe(),
        "-loglevel",
        "error",
        "-i",
        sdr,
        "-c:v",
        "mpeg4",
        "-frames:v",
        "9",
    ]
    subprocess.run([*command, "-metadata", b"title=caf\xe9", titled], check=True)
    assert b"caf\xe9" in titled.read_bytes()
    with cache.extract(short(titled)) as frames:
        assert len(frames) == 6


@pytest.mark.usefixtures("decoder")
def test_real_clip_is_extracted(cache: Cache) -> None:
    try:
        real = real_clip("carphone_pristine")
    except FixtureError as error:
        pytest.skip(f"UNKNOWN: {error}")
    with cache.extract(short(real, fps="30000/1001")) as frames:
        assert len(frames) == 6


@pytest.mark.usefixtures("decoder")
def test_progress_rises_to_what_was_expected(cache: Cache, sdr: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    with cache.extract(Request(clip=sdr, fps=30), lambda *now: seen.append(now)):
        assert seen[-1] == (60, 60)
        assert sorted(seen) == seen


# --- with others


def test_entry_that_lands_between_the_look_and_the_turn_is_a_hit(
    cache: Cache, open_cache: OpenCache, sdr: Path, decoder: Any, just_before: Callable[..., None]
) -> None:
    other = open_cache()
    just_before(flight, "take_off", lambda: other.extract(short(sdr)).release())
    with cache.extract(short(sdr)) as frames:
        assert (frames.delivery, decoder.decodes()) == (Delivery.HIT, 1)
    assert cache.stats().counters["hit"] == 1
    assert "miss.absent" not in cache.stats().counters


def test_entry_that_lands_during_the_decode_is_adopted(
    cache: Cache, open_cache: OpenCache, sdr: Path, decoder: Any
) -> None:
    impatient = open_cache(flight_wait_s=0)
    held: list[Frames] = []

    def meanwhile(*_progress: Any) -> None:
        if not held:
            held.append(impatient.extract(short(sdr)))

    with cache.extract(short(sdr), meanwhile) as frames:
        assert (held[0].delivery, frames.delivery) == (Delivery.PUBLISHED, Delivery.ADOPTED)
        assert data_of(frames) == data_of(held[0])
    held[0].release()
    assert decoder.decodes() == 2
    assert impatient.stats().counters["flight.timed-out"] == 1


def test_two_caches_of_one_process_share_a_root(
    cache: Cache, open_cache: OpenCache, sdr: Path, decoder: Any
) -> None:
    with cache.extract(short(sdr)) as one, open_cache().extract(short(sdr)) as two:
        assert (two.delivery, data_of(two)) == (Delivery.HIT, data_of(one))
    assert decoder.decodes() == 1


def test_each_outcome_is_counted(cache: Cache, sdr: Path, decoder: Any) -> None:
    for _ in range(2):
        cache.extract(short(sdr)).release()
    counters = cache.stats().counters
    assert decoder.decodes() == 1
    counted = {name: counters[name] for name in ("hit", "miss.absent", "extracted", "published")}
    assert set(counted.values()) == {1}


def test_extracts_leak_no_descriptor(
    cache: Cache, sdr: Path, decoder: Any, descriptors: Callable[[], int]
) -> None:
    before = descriptors()
    for _ in range(2):
        cache.extract(short(sdr)).release()
    assert (descriptors(), decoder.decodes()) == (before, 1)
