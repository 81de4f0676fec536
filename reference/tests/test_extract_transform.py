"""Extract with a conversion: an entry and pixels of its own, errors before anything is staged."""

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from untorn import (
    Cache,
    ClipError,
    DecoderError,
    Delivery,
    Frames,
    KeyInputError,
    Origin,
    Request,
    clip,
    estimate,
    probes,
)
from untorn.request import resolve
from untorn_fixtures.clips import clip as fixture_clip
from untorn_fixtures.clips import ffmpeg_exe

PQ, HLG, SDR = "sdr2hdr-smpte2084", "sdr2hdr-arib-std-b67", "hdr2sdr"
PLAIN = "null"
TO_PQ = "t=smpte2084:p=bt2020:m=gbr:r=pc:npl=203,format=gbrp16"
LINEAR_2020 = "t=linear:p=bt2020:m=gbr:r=pc:npl=203,format=gbrpf32"
TO_HLG = f"{LINEAR_2020},zscale=t=arib-std-b67:npl=203:agamma=0,format=gbrp16"
LINEAR_709 = "t=linear:p=bt709:m=gbr:r=pc:npl=203"
MAPPED = (
    "format=gbrpf32,tonemap=mobius:param=0.3:desat=0:peak=4.926108,"
    "zscale=t=bt709:m=gbr:r=pc:npl=203,format=gbrp"
)
SMALL = "zscale=tin=bt709:pin=bt709:min=smpte170m:rin=tv"
# Each clip, the conversion, and the same written by hand.
CONVERTED = {
    "sdr to PQ": ("sdr", PQ, f"{SMALL}:{TO_PQ}"),
    "sdr to HLG": ("sdr", HLG, f"{SMALL}:{TO_HLG}"),
    "odd 4:4:4 to PQ": ("odd", PQ, f"{SMALL}:{TO_PQ}"),
    "BT.601 to HLG": (
        "bt601",
        HLG,
        f"zscale=tin=bt709:pin=smpte170m:min=smpte170m:rin=tv:{TO_HLG}",
    ),
    "patches to PQ": ("patches", PQ, f"zscale=tin=bt709:pin=bt709:min=bt709:rin=tv:{TO_PQ}"),
    "hdr10 to SDR": (
        "hdr10",
        SDR,
        f"zscale=tin=smpte2084:pin=bt2020:min=bt2020nc:rin=tv:{LINEAR_709},{MAPPED}",
    ),
    "hlg to SDR": (
        "hlg",
        SDR,
        f"zscale=tin=arib-std-b67:pin=bt2020:min=bt2020nc:rin=tv:agamma=0:{LINEAR_709},{MAPPED}",
    ),
}


def request_of(path: Path, transform: str | None, **wanted: Any) -> Request:
    """Three frames."""
    return Request(**{"clip": path, "fps": 5, "duration": "0.6", "transform": transform, **wanted})


def picture(path: str | Path) -> NDArray[Any]:
    """An image in its native depth."""
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray()


def pictures(frames: Frames) -> list[NDArray[Any]]:
    return [picture(path) for path in frames.paths]


def by_hand(
    path: Path,
    filters: str,
    folder: Path,
    *,
    start: str = "0",
    length: str = "0.6",
    fps: int = 5,
) -> list[NDArray[Any]]:
    """The same frames, at most nine, by ffmpeg alone."""
    folder.mkdir()
    command = [ffmpeg_exe(), "-nostdin", "-v", "error", "-ss", start, "-t", length]
    command += ["-i", str(path), "-vf", f"fps={fps},{filters}", str(folder / "%d.png")]
    subprocess.run(command, check=True)
    return [picture(path) for path in sorted(folder.iterdir())]


def same(one: list[NDArray[Any]], other: list[NDArray[Any]]) -> bool:
    """Whether every sample of every picture is the same, in the same depth."""
    return [(each.dtype, each.shape) for each in one] == [
        (each.dtype, each.shape) for each in other
    ] and all((a == b).all() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", CONVERTED)
def test_converted_pixels_are_those_of_ffmpeg_alone(
    cache: Cache, tmp_path: Path, name: str
) -> None:
    source, transform, filters = CONVERTED[name]
    path = fixture_clip(source)
    alone = by_hand(path, filters, tmp_path / "alone")
    with cache.extract(request_of(path, transform)) as cold:
        assert same(pictures(cold), alone)
    with cache.extract(request_of(path, transform)) as warm:
        assert (warm.delivery, same(pictures(warm), alone)) == (Delivery.HIT, True)
    assert str(alone[0].dtype) == ("uint8" if transform == SDR else "uint16")


@pytest.fixture
def both(sdr: Path, tmp_path: Path) -> dict[str | None, list[NDArray[Any]]]:
    """What the plain and the converted frames of a clip are, made without a cache."""
    return {
        None: by_hand(sdr, PLAIN, tmp_path / "plain"),
        PQ: by_hand(sdr, f"{SMALL}:{TO_PQ}", tmp_path / "converted"),
    }


@pytest.mark.parametrize("order", [(None, PQ), (PQ, None)], ids=["plain first", "converted first"])
def test_neither_order_serves_the_frames_of_the_other(
    cache: Cache,
    sdr: Path,
    both: dict[str | None, list[NDArray[Any]]],
    order: tuple[str | None, ...],
) -> None:
    seen = []
    for transform in (*order, *order):
        with cache.extract(request_of(sdr, transform)) as frames:
            assert same(pictures(frames), both[transform])
            seen.append(frames.delivery)
    assert seen == [Delivery.PUBLISHED] * 2 + [Delivery.HIT] * 2


def test_both_at_once_get_their_own_frames(
    open_cache: Callable[..., Cache], sdr: Path, both: dict[str | None, list[NDArray[Any]]]
) -> None:
    start, wrong = threading.Barrier(6), []

    def ask(cache: Cache, transform: str | None) -> None:
        start.wait()
        with cache.extract(request_of(sdr, transform)) as frames:
            if not same(pictures(frames), both[transform]):
                wrong.append(frames.key)

    caches = [open_cache() for _ in range(6)]
    crowd = [
        threading.Thread(target=ask, args=(cache, (None, PQ)[number % 2]))
        for number, cache in enumerate(caches)
    ]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    assert wrong == []
    assert caches[0].stats().entries == 2


def test_final_frame_is_converted_too(cache: Cache, sdr: Path) -> None:
    with cache.extract(request_of(sdr, PQ, fps=30)) as whole:
        last = pictures(whole)[-1]
    with cache.extract(request_of(sdr, PQ, final_frame=True)) as final:
        assert same(pictures(final), [last])


@pytest.mark.parametrize("name", ["vfr", "rotated", "alpha_vp9", "alpha_prores", "vp8", "prores"])
def test_every_kind_of_source_is_converted(cache: Cache, name: str) -> None:
    path = fixture_clip(name)
    with cache.extract(request_of(path, None, duration=None)) as frames:
        plain = pictures(frames)
    with cache.extract(request_of(path, PQ, duration=None)) as frames:
        made = pictures(frames)
    assert [each.shape for each in made] == [each.shape for each in plain]
    assert {str(each.dtype) for each in made} == {"uint16"}
    if made[0].shape[2] == 4:
        scale = 257 if str(plain[0].dtype) == "uint8" else 1
        assert (np.abs(made[0][..., 3] - plain[0][..., 3].astype(int) * scale) <= 16).all()


@pytest.mark.parametrize(
    ("name", "transform", "words"),
    [
        ("sdr", SDR, "is SDR already"),
        ("hdr10", PQ, "is PQ, which is HDR already"),
        ("hdr10", HLG, "is PQ, which is HDR already"),
        ("hlg", PQ, "is HLG, which is HDR already"),
    ],
)
def test_what_does_not_fit_is_a_clip_error_before_anything_is_staged(
    cache: Cache,
    root: Path,
    decoder: Any,
    tree: Callable[[Path], object],
    name: str,
    transform: str,
    words: str,
) -> None:
    with cache.extract(request_of(fixture_clip("sdr"), None)):
        before = [tree(root / each) for each in ("v1", "staging", "trash")]
    with pytest.raises(ClipError, match=words):
        cache.extract(request_of(fixture_clip(name), transform))
    assert [tree(root / each) for each in ("v1", "staging", "trash")] == before
    assert decoder.decodes() == 1


def test_what_does_not_fit_is_refused_without_a_cache_too(sdr: Path) -> None:
    off = Cache.open(environ={"UNTORN_CACHE_DIR": "off"})
    with off as cache, pytest.raises(ClipError, match="is SDR already"):
        cache.extract(request_of(sdr, SDR))


@pytest.mark.parametrize("transform", [None, PQ])
def test_hit_needs_no_probe(
    cache: Cache, sdr: Path, just_before: Callable[..., None], transform: str | None
) -> None:
    cache.extract(request_of(sdr, transform)).release()
    probed: list[str] = []
    probes.forget()
    just_before(clip, "probe", lambda: probed.append("probed"))
    with cache.extract(request_of(sdr, transform)) as frames:
        assert (frames.delivery, probed) == (Delivery.HIT, [])
    with cache.extract(request_of(sdr, transform, fps=1)):
        assert probed == ["probed"], "the same ear hears a miss"


@pytest.mark.parametrize("transform", [PQ, HLG])
def test_hdr_is_not_for_eight_bits(cache: Cache, sdr: Path, transform: str) -> None:
    with pytest.raises(KeyInputError, match=r"8 bits of jpg: ask for png"):
        cache.extract(request_of(sdr, transform, format="jpg"))


def test_tone_mapped_jpg_has_the_colours_of_the_png(cache: Cache) -> None:
    """A jpg is BT.601 to everybody; ffmpeg would make it by the matrix of the HDR source."""
    path = fixture_clip("hdr10")
    with cache.extract(request_of(path, SDR)) as frames:
        png = picture(frames.paths[0]).astype(int)
    wanted = request_of(path, SDR, format="jpg", quality=100)
    with cache.extract(wanted) as frames, av.open(frames.paths[0]) as container:
        y, u, v = next(container.decode(video=0)).to_ndarray().astype(float)
    red, blue = y + 1.402 * (v - 128), y + 1.772 * (u - 128)
    rgb = np.stack([red, (y - 0.299 * red - 0.114 * blue) / 0.587, blue], -1).clip(0, 255)
    assert np.abs(rgb - png).mean() < 1


def test_decoder_without_the_filter_is_named_before_anything_is_staged(
    cache: Cache, sdr: Path, decoder: Any, empty: Callable[[], bool]
) -> None:
    real = ffmpeg_exe_of(decoder)
    decoder.path.write_text(
        f'#!/bin/sh\ncase "$*" in *-filters*) "{real}" "$@" | grep -v zscale;; '
        f'*) exec "{real}" "$@";; esac\n'
    )
    with pytest.raises(DecoderError, match="built without the filter zscale"):
        cache.extract(request_of(sdr, PQ))
    assert empty()
    with cache.extract(request_of(sdr, None)) as frames:
        assert frames.delivery is Delivery.PUBLISHED


def ffmpeg_exe_of(decoder: Any) -> str:
    """The real ffmpeg behind the script."""
    return str(decoder._real)


@pytest.mark.parametrize(
    ("name", "transform", "times"), [("sdr", PQ, 2), ("sdr", HLG, 2), ("hdr10", SDR, 0.5)]
)
def test_room_is_asked_for_what_conversion_makes(
    cache: Cache, name: str, transform: str, times: float
) -> None:
    plain = resolve(request_of(fixture_clip(name), None))
    wanted = resolve(request_of(fixture_clip(name), transform))
    info = probes.probe(plain.path, plain.state)
    need = estimate.need(info, wanted.range, 3).size
    assert need == pytest.approx(times * estimate.need(info, plain.range, 3).size, abs=2)
    with cache.extract(request_of(fixture_clip(name), transform)) as frames:
        assert sum(Path(path).stat().st_size for path in frames.paths) <= need


@pytest.mark.parametrize("long", [None, PQ])
def test_longer_entry_serves_a_contained_range_of_its_own_conversion_alone(
    cache: Cache, sdr: Path, tmp_path: Path, long: str | None
) -> None:
    cache.extract(request_of(sdr, long, fps=30, duration="1")).release()
    for transform, filters in ((None, PLAIN), (PQ, f"{SMALL}:{TO_PQ}")):
        alone = by_hand(sdr, filters, tmp_path / str(transform), start="0.2", fps=30, length="0.1")
        wanted = request_of(sdr, transform, fps=30, start="0.2", duration="0.1")
        with cache.extract(wanted) as frames:
            assert same(pictures(frames), alone)
    assert cache.stats().counters["sliced"] == 1


def test_overlapping_ranges_of_a_render_get_frames_of_their_own_conversion(
    cache: Cache, sdr: Path, tmp_path: Path
) -> None:
    ways = {None: PLAIN, PQ: f"{SMALL}:{TO_PQ}"}
    asked = [(start, way) for way in ways for start in ("0", "0.1")]
    requests = [request_of(sdr, way, fps=30, start=start, duration="0.2") for start, way in asked]
    with cache.render(requests) as result:
        for number, ((start, way), item) in enumerate(zip(asked, result, strict=True)):
            folder = tmp_path / str(number)
            alone = by_hand(sdr, ways[way], folder, start=start, length="0.2", fps=30)
            assert item.frames is not None
            assert same(pictures(item.frames), alone)
            assert item.origin is Origin.SLICED


def test_renders_with_and_without_hdr_at_once_get_their_own_frames(
    open_cache: Callable[..., Cache], sdr: Path, both: dict[str | None, list[NDArray[Any]]]
) -> None:
    start, wrong = threading.Barrier(4), []
    hdr = request_of(fixture_clip("hdr10"), None)

    def ask(cache: Cache, others: list[Request]) -> None:
        start.wait()
        with cache.render([request_of(sdr, None), *others]) as result:
            frames = result[0].frames
            if frames is None or not same(pictures(frames), both[PQ if others else None]):
                wrong.append((others, result[0].error))

    crowd = [
        threading.Thread(target=ask, args=(open_cache(), [hdr] * (number % 2)))
        for number in range(4)
    ]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    assert wrong == []
